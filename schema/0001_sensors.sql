-- Who reports, what is missing, and how time partitions are made. Every later step builds on this one.
-- A step is never edited after release: the collector compares its hash with the one it applied.

CREATE SCHEMA penstock;
COMMENT ON SCHEMA penstock IS 'Penstock: where traffic from each source prefix enters the network, and whether it is genuine.';

CREATE TABLE penstock.schema_version (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    checksum text NOT NULL
);
COMMENT ON TABLE penstock.schema_version IS 'Schema steps applied to this database, one row each; written by the collector under an advisory lock.';
COMMENT ON COLUMN penstock.schema_version.number IS 'Step number; steps are applied in order and only forward.';
COMMENT ON COLUMN penstock.schema_version.name IS 'Name of the step''s file, without its number.';
COMMENT ON COLUMN penstock.schema_version.applied_at IS 'When the step was applied.';
COMMENT ON COLUMN penstock.schema_version.checksum IS 'FNV-1a hash (64 bits, hexadecimal) of the step''s text as it was applied.';

-- Event tables are partitioned by the event's own time, in months of UTC. There is no DEFAULT
-- partition (it would forbid DETACH CONCURRENTLY); two open-ended partitions take what a sensor with
-- a wrong clock says, so that no time can make a batch fail, nor make partitions without bound.
CREATE FUNCTION penstock.partition_add(parent text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    month timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    low text := quote_literal(month::text || '+00');
    high text := quote_literal((month + interval '1 month')::text || '+00');
    child text := parent || to_char(month, '"_y"YYYY"m"MM');
BEGIN
    IF month < '2026-01-01' THEN
        low := 'MINVALUE';
        high := quote_literal('2026-01-01 00:00:00+00');
        child := parent || '_past';
    ELSIF month >= '2051-01-01' THEN
        low := quote_literal('2051-01-01 00:00:00+00');
        high := 'MAXVALUE';
        child := parent || '_future';
    END IF;
    IF to_regclass(format('penstock.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('penstock.partition_add', 0));
    IF to_regclass(format('penstock.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Made apart and attached: CREATE TABLE ... PARTITION OF would lock all readers and writers out.
    EXECUTE format('CREATE TABLE penstock.%I (LIKE penstock.%I INCLUDING ALL)', child, parent);
    EXECUTE format('COMMENT ON TABLE penstock.%I IS %L', child,
                   format('Partition of penstock.%s: from %s until before %s.', parent, low, high));
    EXECUTE format('ALTER TABLE penstock.%I ATTACH PARTITION penstock.%I FOR VALUES FROM (%s) TO (%s)',
                   parent, child, low, high);
    RETURN true;
END $$;
COMMENT ON FUNCTION penstock.partition_add(text, timestamptz) IS 'Makes the partition of event table penstock.<parent> that holds events of that time, if it is not there. True when it was made. Months of UTC from 2026 to 2050; one partition for all before, one for all after.';

CREATE TABLE penstock.sensor (
    name text PRIMARY KEY CHECK (name <> ''),
    pop text NOT NULL,
    version text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    epoch bigint NOT NULL CHECK (epoch >= 0),
    last_seq bigint NOT NULL CHECK (last_seq >= 0),
    state text NOT NULL CHECK (state IN ('up', 'silent', 'stopped'))
);
COMMENT ON TABLE penstock.sensor IS 'Every sensor that ever reported, and how far its events are stored. Written in the transaction that stores them.';
COMMENT ON COLUMN penstock.sensor.name IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.sensor.pop IS 'Point of presence where it stands.';
COMMENT ON COLUMN penstock.sensor.version IS 'Release of its program.';
COMMENT ON COLUMN penstock.sensor.first_seen IS 'When the collector first heard of it.';
COMMENT ON COLUMN penstock.sensor.last_seen IS 'When the collector last heard of it.';
COMMENT ON COLUMN penstock.sensor.epoch IS 'Its current or last run: wall-clock time of its start, ns since 1970-01-01 UTC.';
COMMENT ON COLUMN penstock.sensor.last_seq IS 'High-water mark: number of the last event of that epoch that is stored here; 0: none.';
COMMENT ON COLUMN penstock.sensor.state IS 'up, silent (nothing heard for too long) or stopped (it said goodbye).';

-- Who writes rests on what it read: each transaction of a collector counts this one row up from the
-- number that it knows, first of all. So of two writers one waits and then notices; without this, a
-- COMMIT that its collector had given up for lost could still take place after it read the database
-- again. (The sensors' marks alone would not do: two sensors of one place share map entries.)
CREATE TABLE penstock.collector_turn (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    turns bigint NOT NULL,
    at timestamptz NOT NULL
);
INSERT INTO penstock.collector_turn (turns, at) VALUES (0, now());
COMMENT ON TABLE penstock.collector_turn IS 'One row: how often a collector wrote. A second collector, or a COMMIT in doubt, is noticed by it.';
COMMENT ON COLUMN penstock.collector_turn.is_only IS 'True: there is one row only.';
COMMENT ON COLUMN penstock.collector_turn.turns IS 'Transactions of collectors so far.';
COMMENT ON COLUMN penstock.collector_turn.at IS 'When the last one began.';

CREATE TABLE penstock.sensor_gap_entry (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (sensor, epoch, from_seq)
);
COMMENT ON TABLE penstock.sensor_gap_entry IS 'Events that a sensor made and that will never come: "no alert" must differ from "no data".';
COMMENT ON COLUMN penstock.sensor_gap_entry.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.sensor_gap_entry.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.sensor_gap_entry.from_seq IS 'Number of the first missing event.';
COMMENT ON COLUMN penstock.sensor_gap_entry.to_seq IS 'Number of the last missing event; NULL: unknown, the epoch ended without a goodbye.';
COMMENT ON COLUMN penstock.sensor_gap_entry.reason IS 'Why they are missing.';
COMMENT ON COLUMN penstock.sensor_gap_entry.at IS 'When the gap was noticed.';

CREATE VIEW penstock.sensor_gap AS
    SELECT sensor, from_seq, to_seq, reason, at FROM penstock.sensor_gap_entry;
COMMENT ON VIEW penstock.sensor_gap IS 'Events that a sensor made and that will never come.';
COMMENT ON COLUMN penstock.sensor_gap.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.sensor_gap.from_seq IS 'Number of the first missing event, within the sensor''s run.';
COMMENT ON COLUMN penstock.sensor_gap.to_seq IS 'Number of the last missing event; NULL: unknown, the run ended without a goodbye.';
COMMENT ON COLUMN penstock.sensor_gap.reason IS 'Why they are missing.';
COMMENT ON COLUMN penstock.sensor_gap.at IS 'When the gap was noticed.';

CREATE TABLE penstock.sensor_status (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    event_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    pop text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    packets bigint NOT NULL,
    bytes bigint NOT NULL,
    forwarded bigint NOT NULL,
    dropped bigint NOT NULL,
    malformed bigint NOT NULL,
    missed bigint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.sensor_status USING brin (at);
COMMENT ON TABLE penstock.sensor_status IS 'What each sensor saw and did in each interval: proof that it is alive, and of its harm. One row per event, by time.';
COMMENT ON COLUMN penstock.sensor_status.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.sensor_status.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.sensor_status.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.sensor_status.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.sensor_status.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.sensor_status.started_at IS 'Start of the interval.';
COMMENT ON COLUMN penstock.sensor_status.ended_at IS 'End of the interval.';
COMMENT ON COLUMN penstock.sensor_status.packets IS 'Packets taken to the workers.';
COMMENT ON COLUMN penstock.sensor_status.bytes IS 'Bytes of those packets, from the Ethernet header on.';
COMMENT ON COLUMN penstock.sensor_status.forwarded IS 'Packets given back to be forwarded.';
COMMENT ON COLUMN penstock.sensor_status.dropped IS 'Packets withheld by the Penny test.';
COMMENT ON COLUMN penstock.sensor_status.malformed IS 'Packets that could not be parsed.';
COMMENT ON COLUMN penstock.sensor_status.missed IS 'Packets lost before the workers, as the source admits.';
SELECT penstock.partition_add('sensor_status', '1970-01-01'), penstock.partition_add('sensor_status', '2100-01-01');

CREATE TABLE penstock.malformed_event (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    reason text NOT NULL,
    bytes bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON penstock.malformed_event USING brin (at);
COMMENT ON TABLE penstock.malformed_event IS 'Events and batches that could not be decoded, set aside so that one bad event does not stop a sensor''s stream.';
COMMENT ON COLUMN penstock.malformed_event.sensor IS 'Name of the sensor that sent it.';
COMMENT ON COLUMN penstock.malformed_event.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.malformed_event.seq IS 'Number of the event within the run, or of a batch''s first event.';
COMMENT ON COLUMN penstock.malformed_event.reason IS 'What is wrong with it.';
COMMENT ON COLUMN penstock.malformed_event.bytes IS 'The bytes as they came.';
COMMENT ON COLUMN penstock.malformed_event.at IS 'When the collector set it aside.';
