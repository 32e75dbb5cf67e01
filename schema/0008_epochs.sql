-- How far each epoch of each sensor is stored. An epoch is the life of a spool: a sensor that comes
-- back with an older one (a disk restored, a clock set back) goes on from that one's mark.

CREATE TABLE penstock.sensor_epoch (
    sensor text NOT NULL CHECK (sensor <> ''),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    last_seq bigint NOT NULL CHECK (last_seq >= 0),
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    is_open boolean NOT NULL,
    PRIMARY KEY (sensor, epoch)
);
COMMENT ON TABLE penstock.sensor_epoch IS 'How far the events of each epoch of each sensor are stored: the marks by which none counts twice. Written in the transaction that stores the events. The 64 latest per sensor are kept.';
COMMENT ON COLUMN penstock.sensor_epoch.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.sensor_epoch.epoch IS 'Life of a spool of the sensor: wall-clock time when it was made, ns since 1970-01-01 UTC.';
COMMENT ON COLUMN penstock.sensor_epoch.last_seq IS 'High-water mark: number of the last event of that epoch that is stored, set aside, or noted in sensor_gap; 0: none.';
COMMENT ON COLUMN penstock.sensor_epoch.first_seen IS 'When the collector first heard of that epoch.';
COMMENT ON COLUMN penstock.sensor_epoch.last_seen IS 'When the collector last heard of that epoch.';
COMMENT ON COLUMN penstock.sensor_epoch.is_open IS 'True: its last event was no goodbye, and no gap says that the rest is lost.';

INSERT INTO penstock.sensor_epoch (sensor, epoch, last_seq, first_seen, last_seen, is_open)
    SELECT name, epoch, last_seq, first_seen, last_seen, state <> 'stopped' FROM penstock.sensor;

-- What the word meant until now: a run of the sensor's process.
COMMENT ON COLUMN penstock.sensor.epoch IS 'Epoch of its latest hello: wall-clock time when its spool was made, ns since 1970-01-01 UTC.';
COMMENT ON COLUMN penstock.sensor.last_seq IS 'High-water mark of that epoch, as in sensor_epoch.';
COMMENT ON COLUMN penstock.sensor_gap_entry.epoch IS 'Epoch of the sensor: ns since 1970-01-01 UTC when its spool was made.';
COMMENT ON COLUMN penstock.sensor_gap_entry.to_seq IS 'Number of the last missing event; NULL: nobody knows how many they are.';
COMMENT ON COLUMN penstock.sensor_gap.from_seq IS 'Number of the first missing event, within the sensor''s epoch.';
COMMENT ON COLUMN penstock.sensor_gap.to_seq IS 'Number of the last missing event; NULL: nobody knows how many they are.';
COMMENT ON TABLE penstock.malformed_event IS 'Events and batches that could not be decoded, and events that the database refused, set aside so that one bad event does not stop a sensor''s stream.';
COMMENT ON COLUMN penstock.malformed_event.epoch IS 'Epoch of the sensor: ns since 1970-01-01 UTC when its spool was made.';
COMMENT ON COLUMN penstock.malformed_event.reason IS 'What is wrong with it; for one that the database refused: what the database said, with its SQLSTATE.';

-- The event tables say it of their column epoch, and so do their partitions.
DO $$
DECLARE
    col record;
BEGIN
    FOR col IN SELECT attrelid::regclass AS place FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
               WHERE relnamespace = 'penstock'::regnamespace AND attname = 'epoch'
               AND col_description(attrelid, attnum) LIKE 'Run of the sensor%' LOOP
        EXECUTE format('COMMENT ON COLUMN %s.epoch IS %L', col.place,
                       'Epoch of the sensor: ns since 1970-01-01 UTC when its spool was made.');
    END LOOP;
END $$;
