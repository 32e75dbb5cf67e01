-- Who may do what. Three kinds of roles: the owner of the schema (whoever migrates), and two groups
-- without a login, penstock_collector and penstock_reader, of which a DBA makes others members. What
-- the groups may do stands in a table, so that a later step that makes a table adds a row for it.

CREATE TABLE penstock.role_grant (
    role text NOT NULL CHECK (role IN ('penstock_collector', 'penstock_reader')),
    object text NOT NULL,
    privileges text NOT NULL CHECK (privileges ~ '^(SELECT( \([a-z_, ]+\))?|INSERT|UPDATE|DELETE|EXECUTE)(, (SELECT|INSERT|UPDATE|DELETE))*$'),
    PRIMARY KEY (role, object)
);
COMMENT ON TABLE penstock.role_grant IS 'What the group roles may do; penstock.grant_roles() grants it.';
COMMENT ON COLUMN penstock.role_grant.role IS 'Group role: penstock_collector or penstock_reader.';
COMMENT ON COLUMN penstock.role_grant.object IS 'Table or view of the schema, or a function with its argument types.';
COMMENT ON COLUMN penstock.role_grant.privileges IS 'What it may do there, in the words of GRANT.';

-- Rows of events come by COPY and are never read by the collector; of what it folds it has one row
-- each, which it changes in place. It deletes nothing but old epochs, and makes nothing but partitions.
INSERT INTO penstock.role_grant (role, object, privileges) VALUES
    ('penstock_collector', 'schema_version', 'SELECT'),
    ('penstock_collector', 'collector_turn', 'SELECT, UPDATE'),
    ('penstock_collector', 'sensor', 'SELECT, INSERT, UPDATE'),
    ('penstock_collector', 'sensor_epoch', 'SELECT, INSERT, UPDATE, DELETE'),
    ('penstock_collector', 'sensor_gap_entry', 'SELECT, INSERT, UPDATE'),
    ('penstock_collector', 'ingress_entry', 'SELECT, INSERT, UPDATE'),
    ('penstock_collector', 'penny_test_entry', 'SELECT, INSERT, UPDATE'),
    ('penstock_collector', 'alert', 'SELECT, INSERT, UPDATE'),
    ('penstock_collector', 'malformed_event', 'INSERT'),
    ('penstock_collector', 'sensor_status', 'INSERT'),
    ('penstock_collector', 'ingress_tally', 'INSERT'),
    ('penstock_collector', 'penny_drop_entry', 'INSERT'),
    ('penstock_collector', 'scan_window_entry', 'INSERT'),
    ('penstock_collector', 'passive_flow_entry', 'INSERT'),
    ('penstock_collector', 'passive_total_entry', 'INSERT'),
    ('penstock_collector', 'partition_add(text, timestamptz)', 'EXECUTE'),
    ('penstock_reader', 'ingress_map', 'SELECT'),
    ('penstock_reader', 'ingress_entry', 'SELECT (prefix)'), -- what ingress_of() looks up
    ('penstock_reader', 'ingress_tally', 'SELECT'),
    ('penstock_reader', 'penny_test', 'SELECT'),
    ('penstock_reader', 'penny_drop', 'SELECT'),
    ('penstock_reader', 'passive_flow', 'SELECT'),
    ('penstock_reader', 'passive_total', 'SELECT'),
    ('penstock_reader', 'scan_window', 'SELECT'),
    ('penstock_reader', 'sensor', 'SELECT'),
    ('penstock_reader', 'sensor_epoch', 'SELECT'),
    ('penstock_reader', 'sensor_gap', 'SELECT'),
    ('penstock_reader', 'sensor_status', 'SELECT'),
    ('penstock_reader', 'malformed_event', 'SELECT'),
    ('penstock_reader', 'alert', 'SELECT'),
    ('penstock_reader', 'schema_version', 'SELECT');

-- A partition belongs to the owner of its table, and only who owns a table may attach one: so this
-- runs with the owner's rights, whoever calls it. Hence the checks, and a search_path in which
-- nobody's temporary objects come first. A month that was taken away and kept keeps its name: the
-- next partition for it gets a number behind, for else its late events would be refused for ever.
CREATE OR REPLACE FUNCTION penstock.partition_add(parent text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    low text := quote_literal(month::text || '+00');
    high text := quote_literal((month + interval '1 month')::text || '+00');
    first text := parent || to_char(month, '"_y"YYYY"m"MM');
    child text;
    found regclass;
    tries integer := 1;
BEGIN
    IF at IS NULL OR NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'penstock'::regnamespace
                                 AND relname = parent AND relkind = 'p') THEN
        RAISE EXCEPTION 'penstock.% is no table with partitions, or no time is given', parent
            USING ERRCODE = 'undefined_table';
    END IF;
    IF month < '2026-01-01' THEN
        low := 'MINVALUE';
        high := quote_literal('2026-01-01 00:00:00+00');
        first := parent || '_past';
    ELSIF month >= '2051-01-01' THEN
        low := quote_literal('2051-01-01 00:00:00+00');
        high := 'MAXVALUE';
        first := parent || '_future';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('penstock.partition_add', 0));
    child := first;
    LOOP
        found := to_regclass(format('penstock.%I', child));
        EXIT WHEN found IS NULL;
        IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = found AND NOT inhdetachpending
                   AND inhparent = format('penstock.%I', parent)::regclass) THEN
            RETURN false;
        END IF;
        tries := tries + 1;
        child := first || '_' || tries;
    END LOOP;
    -- Made apart and attached: CREATE TABLE ... PARTITION OF would lock all readers and writers out.
    EXECUTE format('CREATE TABLE penstock.%I (LIKE penstock.%I INCLUDING ALL)', child, parent);
    EXECUTE format('COMMENT ON TABLE penstock.%I IS %L', child,
                   format('Partition of penstock.%s: from %s until before %s.', parent, low, high));
    EXECUTE format('ALTER TABLE penstock.%I ATTACH PARTITION penstock.%I FOR VALUES FROM (%s) TO (%s)',
                   parent, child, low, high);
    RETURN true;
END $$;
COMMENT ON FUNCTION penstock.partition_add(text, timestamptz) IS 'Makes the partition of event table penstock.<parent> that holds events of that time, if it is not there, with the rights of the owner. True when it was made. Months of UTC from 2026 to 2050; one partition for all before, one for all after.';
REVOKE EXECUTE ON FUNCTION penstock.partition_add(text, timestamptz) FROM PUBLIC;

-- Adds, and takes nothing away: what a DBA granted besides stays.
CREATE FUNCTION penstock.grant_roles() RETURNS TABLE (role text, is_there boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    g record;
    target text;
BEGIN
    FOREACH role IN ARRAY ARRAY['penstock_collector', 'penstock_reader'] LOOP
        is_there := to_regrole(role) IS NOT NULL;
        RETURN NEXT;
        CONTINUE WHEN NOT is_there;
        EXECUTE format('GRANT USAGE ON SCHEMA penstock TO %I', role);
        -- the default of PostgreSQL, which a DBA may have taken away
        IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
        FOR g IN SELECT r.object, r.privileges FROM penstock.role_grant r WHERE r.role = grant_roles.role LOOP
            IF g.privileges = 'EXECUTE' THEN
                target := 'FUNCTION ' || format('penstock.%s', g.object)::regprocedure;
            ELSE
                target := 'TABLE ' || to_regclass(format('penstock.%I', g.object));
            END IF;
            IF target IS NOT NULL THEN
                EXECUTE format('GRANT %s ON %s TO %I', g.privileges, target, role);
            END IF;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION penstock.grant_roles() IS 'Grants the group roles what penstock.role_grant says, if they are there; tells of each whether it is. For the owner of the schema; called after every migration, and to be called when a DBA made the roles later.';
REVOKE EXECUTE ON FUNCTION penstock.grant_roles() FROM PUBLIC;

-- The groups are made here if whoever migrates may make roles; else a DBA makes them
-- (CREATE ROLE penstock_collector NOLOGIN), and the owner calls grant_roles().
DO $$
DECLARE
    missing text;
BEGIN
    FOREACH missing IN ARRAY ARRAY['penstock_collector', 'penstock_reader'] LOOP
        CONTINUE WHEN to_regrole(missing) IS NOT NULL
            OR NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- a migration of another database of this cluster made it at this moment
        END;
    END LOOP;
END $$;

COMMENT ON TABLE penstock.collector_turn IS 'One row: how often a collector wrote. The last guard behind the advisory lock that lets one collector write: a COMMIT in doubt, or anybody without the lock, is noticed by it.';
COMMENT ON COLUMN penstock.collector_turn.turns IS 'Transactions of collectors so far, and loads: each begins with one.';
