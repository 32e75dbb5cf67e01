-- Alerts by rules: kinds, states over time, maintenance windows, and what people say.

ALTER TABLE penstock.alert
    ADD COLUMN sensor text,
    ADD COLUMN is_standing boolean NOT NULL DEFAULT true,
    ADD COLUMN flaps integer NOT NULL DEFAULT 0 CHECK (flaps >= 0),
    ADD COLUMN suppressed_by text,
    ADD COLUMN runbook text,
    ADD COLUMN words bigint NOT NULL DEFAULT 0,
    ADD COLUMN said_at timestamptz;
COMMENT ON COLUMN penstock.alert.kind IS 'What it is about; each kind has a page in docs/alerts: ingress_unexpected, ingress_moved, hijack_suspected, policy_violation, path_anomaly, spoofing_source, sensor_silent, sensor_gap.';
COMMENT ON COLUMN penstock.alert.sensor IS 'Sensor that it is about; NULL: not about one.';
COMMENT ON COLUMN penstock.alert.is_standing IS 'Whether its condition holds at present. False on an alert without an end: it flaps, and is kept as it is until its condition stays away.';
COMMENT ON COLUMN penstock.alert.flaps IS 'How often its condition went away lately; from alerts.flap_count on a return is no longer announced.';
COMMENT ON COLUMN penstock.alert.suppressed_by IS 'State suppressed: routing (RPKI-valid and expected by BGP), maintenance and its number, or who said so; else NULL.';
COMMENT ON COLUMN penstock.alert.runbook IS 'The page that says what it means and what to do.';
COMMENT ON COLUMN penstock.alert.words IS 'How often a person changed its state; so that the collector does not write over a word it has not heard.';
COMMENT ON COLUMN penstock.alert.said_at IS 'When a person changed its state last; NULL: nobody did.';
COMMENT ON COLUMN penstock.alert.acknowledged_by IS 'Who acknowledged or suppressed it; NULL: nobody.';

-- The journal: one row for each state that was told. Readers go by event_id, which grows in the order
-- of commits, for one collector writes. Few rows: a plain table, kept for alerts.keep.
CREATE TABLE penstock.alert_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved', 'suppressed')),
    document jsonb NOT NULL
);
CREATE INDEX alert_event_alert ON penstock.alert_event (alert_id);
COMMENT ON INDEX penstock.alert_event_alert IS 'The story of one alert.';
COMMENT ON TABLE penstock.alert_event IS 'What was told of alerts: a row per new state, written with the alert itself. Feeds read it from where they are.';
COMMENT ON COLUMN penstock.alert_event.event_id IS 'Number of the row; later ones are larger.';
COMMENT ON COLUMN penstock.alert_event.alert_id IS 'The alert.';
COMMENT ON COLUMN penstock.alert_event.at IS 'When the state began.';
COMMENT ON COLUMN penstock.alert_event.state IS 'The state that was told.';
COMMENT ON COLUMN penstock.alert_event.document IS 'The alert as it was then: the columns of penstock.alert.';

CREATE TABLE penstock.maintenance (
    maintenance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    kind text,
    pop text,
    router text,
    interface text,
    peer_as bigint,
    prefix cidr,
    sensor text,
    who text NOT NULL DEFAULT session_user,
    why text NOT NULL CHECK (why <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at >= starts_at)
);
CREATE INDEX maintenance_end ON penstock.maintenance (ends_at);
COMMENT ON INDEX penstock.maintenance_end IS 'Windows that are not over.';
COMMENT ON TABLE penstock.maintenance IS 'Windows in which alerts are expected: those that match every column that is given are suppressed from starts_at until ends_at.';
COMMENT ON COLUMN penstock.maintenance.maintenance_id IS 'The window.';
COMMENT ON COLUMN penstock.maintenance.starts_at IS 'From when on matching alerts are suppressed.';
COMMENT ON COLUMN penstock.maintenance.ends_at IS 'Until when; then those whose condition still stands come out.';
COMMENT ON COLUMN penstock.maintenance.kind IS 'Kind of alert; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.pop IS 'Point of presence; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.router IS 'Router; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.interface IS 'Interface of the router; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.peer_as IS 'AS number of the peer; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.prefix IS 'Source prefix that covers the alert''s; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.sensor IS 'Sensor that the alert is about; NULL: any.';
COMMENT ON COLUMN penstock.maintenance.who IS 'Who announced it.';
COMMENT ON COLUMN penstock.maintenance.why IS 'What is done in it.';
COMMENT ON COLUMN penstock.maintenance.created_at IS 'When it was announced.';

-- Whoever is not the collector (its session says that it holds the writer's lock) is a person.
CREATE FUNCTION penstock.alert_said() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('penstock.is_writer', true) = 'on' THEN
        RETURN NEW;
    END IF;
    IF OLD.resolved_at IS NOT NULL AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'alert % is over; its state stays', OLD.alert_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state IS DISTINCT FROM OLD.state AND NEW.state NOT IN ('firing', 'acknowledged', 'suppressed') THEN
        RAISE EXCEPTION 'a person may say firing (take back), acknowledged or suppressed, not %', NEW.state
            USING ERRCODE = 'check_violation',
                  HINT = 'An alert ends when its condition does: suppress it, or learn what it tells of.';
    END IF;
    NEW.words := OLD.words + 1;
    NEW.said_at := now();
    PERFORM pg_notify('penstock_alert_word', OLD.alert_id::text);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION penstock.alert_said() IS 'Trigger: a person said something of an alert; counted, and told to the collector by NOTIFY penstock_alert_word.';
CREATE TRIGGER alert_said BEFORE UPDATE OF state, acknowledged_by ON penstock.alert
    FOR EACH ROW EXECUTE FUNCTION penstock.alert_said();

CREATE FUNCTION penstock.maintenance_said() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('penstock_alert_word', 'maintenance');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION penstock.maintenance_said() IS 'Trigger: maintenance windows changed; told to the collector by NOTIFY penstock_alert_word.';
CREATE TRIGGER maintenance_said AFTER INSERT OR UPDATE OR DELETE ON penstock.maintenance
    FOR EACH STATEMENT EXECUTE FUNCTION penstock.maintenance_said();

INSERT INTO penstock.role_grant (role, object, privileges) VALUES
    ('penstock_collector', 'alert_event', 'SELECT, INSERT, DELETE'),
    ('penstock_collector', 'maintenance', 'SELECT'),
    ('penstock_reader', 'alert_event', 'SELECT'),
    ('penstock_reader', 'maintenance', 'SELECT'),
    ('penstock_operator', 'alert', 'UPDATE (state, acknowledged_by)'),
    ('penstock_operator', 'maintenance', 'INSERT, UPDATE, DELETE');
UPDATE penstock.role_grant SET privileges = 'SELECT, INSERT, UPDATE, DELETE'
    WHERE role = 'penstock_collector' AND object = 'alert';
