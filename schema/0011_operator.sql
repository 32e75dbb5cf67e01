-- A third group of roles: penstock_operator, for the people of the NOC. It reads what penstock_reader
-- reads, and says what only people can say: acknowledge an alert, order a test, expect a prefix. A DBA who
-- wants that of somebody makes their role a member of both groups.

ALTER TABLE penstock.role_grant DROP CONSTRAINT role_grant_role_check;
ALTER TABLE penstock.role_grant ADD CONSTRAINT role_grant_role_check
    CHECK (role IN ('penstock_collector', 'penstock_reader', 'penstock_operator'));
ALTER TABLE penstock.role_grant DROP CONSTRAINT role_grant_privileges_check;
ALTER TABLE penstock.role_grant ADD CONSTRAINT role_grant_privileges_check
    CHECK (privileges ~ '^((SELECT|INSERT|UPDATE|DELETE|TRUNCATE)( \([a-z_, ]+\))?|EXECUTE)(, (SELECT|INSERT|UPDATE|DELETE|TRUNCATE)( \([a-z_, ]+\))?)*$');
COMMENT ON COLUMN penstock.role_grant.role IS 'Group role: penstock_collector, penstock_reader or penstock_operator.';

-- Adds, and takes nothing away: what a DBA granted besides stays.
CREATE OR REPLACE FUNCTION penstock.grant_roles() RETURNS TABLE (role text, is_there boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    g record;
    target text;
BEGIN
    FOREACH role IN ARRAY ARRAY['penstock_collector', 'penstock_reader', 'penstock_operator'] LOOP
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

-- The group is made here if whoever migrates may make roles; else a DBA makes it
-- (CREATE ROLE penstock_operator NOLOGIN), and the owner calls grant_roles().
DO $$
DECLARE
    missing text;
BEGIN
    FOREACH missing IN ARRAY ARRAY['penstock_operator'] LOOP
        CONTINUE WHEN to_regrole(missing) IS NOT NULL
            OR NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- a migration of another database of this cluster made it at this moment
        END;
    END LOOP;
END $$;
