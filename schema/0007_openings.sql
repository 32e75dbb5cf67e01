-- Openings other than SYN, counted per window and direction. NULL in rows from before this step.

ALTER TABLE penstock.scan_window_entry
    ADD COLUMN probes_fin bigint,
    ADD COLUMN probes_null bigint,
    ADD COLUMN probes_xmas bigint,
    ADD COLUMN probes_udp bigint,
    ADD COLUMN probes_icmp bigint;
COMMENT ON COLUMN penstock.scan_window_entry.probes_fin IS 'TCP segments with FIN, without SYN, RST and ACK; not XMAS.';
COMMENT ON COLUMN penstock.scan_window_entry.probes_null IS 'TCP segments without any flag.';
COMMENT ON COLUMN penstock.scan_window_entry.probes_xmas IS 'TCP segments with FIN, PSH and URG, without SYN, RST and ACK.';
COMMENT ON COLUMN penstock.scan_window_entry.probes_udp IS 'First UDP packets of a flow in 60 s.';
COMMENT ON COLUMN penstock.scan_window_entry.probes_icmp IS 'ICMP requests for an echo, a timestamp or an address mask.';

-- Partitions that are there already do not take the comments over.
DO $$
DECLARE
    part regclass;
    col record;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'penstock.scan_window_entry'::regclass LOOP
        FOR col IN SELECT attname, col_description(attrelid, attnum) AS text FROM pg_attribute
                   WHERE attrelid = 'penstock.scan_window_entry'::regclass AND attname LIKE 'probes\_%' LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', part, col.attname, col.text);
        END LOOP;
    END LOOP;
END $$;

CREATE OR REPLACE VIEW penstock.scan_window AS
    SELECT
           sensor,
           pop,
           started_at,
           ended_at,
           direction,
           total_entropy,
           bin_entropy,
           probes,
           probes_fin,
           probes_null,
           probes_xmas,
           probes_udp,
           probes_icmp
    FROM penstock.scan_window_entry;
COMMENT ON COLUMN penstock.scan_window.probes_fin IS 'TCP segments with FIN, without SYN, RST and ACK; not XMAS.';
COMMENT ON COLUMN penstock.scan_window.probes_null IS 'TCP segments without any flag.';
COMMENT ON COLUMN penstock.scan_window.probes_xmas IS 'TCP segments with FIN, PSH and URG, without SYN, RST and ACK.';
COMMENT ON COLUMN penstock.scan_window.probes_udp IS 'First UDP packets of a flow in 60 s.';
COMMENT ON COLUMN penstock.scan_window.probes_icmp IS 'ICMP requests for an echo, a timestamp or an address mask.';
