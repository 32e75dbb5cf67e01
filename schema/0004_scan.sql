-- Scan detection: the entropy of the port bitmaps, window by window.

CREATE TABLE penstock.scan_window_entry (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    event_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    pop text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    direction text,
    total_entropy double precision,
    bin_entropy double precision[],
    probes bigint
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.scan_window_entry USING brin (at);
COMMENT ON TABLE penstock.scan_window_entry IS 'Entropy of the port bitmaps over one window. One row per event, by time.';
COMMENT ON COLUMN penstock.scan_window_entry.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.scan_window_entry.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.scan_window_entry.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.scan_window_entry.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.scan_window_entry.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.scan_window_entry.started_at IS 'Start of the window.';
COMMENT ON COLUMN penstock.scan_window_entry.ended_at IS 'End of the window.';
COMMENT ON COLUMN penstock.scan_window_entry.direction IS 'server: towards the home prefixes; client: all else.';
COMMENT ON COLUMN penstock.scan_window_entry.total_entropy IS 'Mean of the bins'' entropies, bits, folded to 0 to 2.';
COMMENT ON COLUMN penstock.scan_window_entry.bin_entropy IS 'Entropy of each bin of the port bitmap, bits, folded to 0 to 2.';
COMMENT ON COLUMN penstock.scan_window_entry.probes IS 'TCP segments with SYN and without ACK.';
SELECT penstock.partition_add('scan_window_entry', '1970-01-01'), penstock.partition_add('scan_window_entry', '2100-01-01');

CREATE VIEW penstock.scan_window AS
    SELECT
           sensor,
           pop,
           started_at,
           ended_at,
           direction,
           total_entropy,
           bin_entropy,
           probes
    FROM penstock.scan_window_entry;
COMMENT ON VIEW penstock.scan_window IS 'Entropy of the port bitmaps over one window, at one sensor, in one direction.';
COMMENT ON COLUMN penstock.scan_window.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.scan_window.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.scan_window.started_at IS 'Start of the window.';
COMMENT ON COLUMN penstock.scan_window.ended_at IS 'End of the window.';
COMMENT ON COLUMN penstock.scan_window.direction IS 'server: towards the home prefixes; client: all else.';
COMMENT ON COLUMN penstock.scan_window.total_entropy IS 'Mean of the bins'' entropies, bits, folded to 0 to 2.';
COMMENT ON COLUMN penstock.scan_window.bin_entropy IS 'Entropy of each bin of the port bitmap, bits, folded to 0 to 2.';
COMMENT ON COLUMN penstock.scan_window.probes IS 'TCP segments with SYN and without ACK.';
