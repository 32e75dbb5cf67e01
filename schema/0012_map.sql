-- The map that adapts: what an entry says more, the counters behind it, its history, and how long
-- things are kept.

-- ---- an entry says more ----

ALTER TABLE penstock.ingress_entry
    ADD COLUMN bgp text NOT NULL DEFAULT '' CHECK (bgp IN ('', 'best', 'alternative', 'none')),
    ADD COLUMN rpki text NOT NULL DEFAULT '' CHECK (rpki IN ('', 'valid', 'invalid', 'not_found')),
    ADD COLUMN origin_as bigint NOT NULL DEFAULT 0,
    ADD COLUMN evidence_genuine double precision NOT NULL DEFAULT 0,
    ADD COLUMN evidence_spoofed double precision NOT NULL DEFAULT 0,
    ADD COLUMN evidence_at timestamptz,
    ADD COLUMN untestable_at timestamptz,
    ADD COLUMN genuine_since timestamptz,
    ADD COLUMN genuine_share double precision NOT NULL DEFAULT 0 CHECK (genuine_share BETWEEN 0 AND 1),
    ADD COLUMN bundle text NOT NULL DEFAULT '',
    ADD COLUMN is_main boolean NOT NULL DEFAULT false,
    ADD COLUMN is_present boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN penstock.ingress_entry.expected_by IS 'Who says so: policy, bgp, rpki or learned; empty: nobody.';
COMMENT ON COLUMN penstock.ingress_entry.bgp IS 'Whether the peer of this place announces the prefix: best (its path is the best), alternative (another valid path is), none (it announces none that covers it); empty: no routing table, or no peer AS.';
COMMENT ON COLUMN penstock.ingress_entry.rpki IS 'Origin validation (RFC 6811) of the announcement that the routing table shows: valid, invalid or not_found; empty: not known.';
COMMENT ON COLUMN penstock.ingress_entry.origin_as IS 'Origin AS of that announcement; 0: not known.';
COMMENT ON COLUMN penstock.ingress_entry.evidence_genuine IS 'Decayed count of withheld segments that came again, net of misses and duplicates, as of evidence_at.';
COMMENT ON COLUMN penstock.ingress_entry.evidence_spoofed IS 'Decayed count of those that did not, as of evidence_at.';
COMMENT ON COLUMN penstock.ingress_entry.evidence_at IS 'Time to which both counts are decayed; NULL: none yet.';
COMMENT ON COLUMN penstock.ingress_entry.untestable_at IS 'When a test last found packets, but nothing that can be tested; NULL: never.';
COMMENT ON COLUMN penstock.ingress_entry.genuine_since IS 'Genuine without a break since; NULL: it is not.';
COMMENT ON COLUMN penstock.ingress_entry.genuine_share IS 'Share, 0 to 1, of the prefix''s estimated genuine bytes that enter here.';
COMMENT ON COLUMN penstock.ingress_entry.bundle IS 'Name that the places of one router have in common when they share the prefix evenly (LAG, ECMP); empty: alone.';
COMMENT ON COLUMN penstock.ingress_entry.is_main IS 'It carries the bulk of the prefix''s genuine traffic: what the next `moved` of ingress_change is from.';
COMMENT ON COLUMN penstock.ingress_entry.is_present IS 'ingress_change told that it appeared, and not yet that it left.';

CREATE OR REPLACE VIEW penstock.ingress_map AS
    SELECT
           prefix,
           pop,
           NULLIF(router, '') AS router,
           NULLIF(interface, '') AS interface,
           NULLIF(vlan, 0) AS vlan,
           NULLIF(mac, '00:00:00:00:00:00'::macaddr) AS mac,
           NULLIF(peer_as, 0) AS peer_as,
           state,
           genuine_probability,
           genuine_fraction,
           genuine_low,
           genuine_high,
           share,
           packets,
           bytes,
           expected,
           NULLIF(expected_by, '') AS expected_by,
           tests,
           first_seen,
           last_seen,
           last_test_at,
           NULLIF(bgp, '') AS bgp,
           NULLIF(rpki, '') AS rpki,
           NULLIF(origin_as, 0) AS origin_as,
           genuine_share,
           genuine_since,
           NULLIF(bundle, '') AS bundle
    FROM penstock.ingress_entry;
COMMENT ON COLUMN penstock.ingress_map.expected_by IS 'Who says so: policy, bgp, rpki or learned; NULL: nobody.';
COMMENT ON COLUMN penstock.ingress_map.bgp IS 'Whether the peer of this place announces the prefix: best, alternative (another path is the best) or none; NULL: not known.';
COMMENT ON COLUMN penstock.ingress_map.rpki IS 'Origin validation (RFC 6811) of the announcement: valid, invalid or not_found; NULL: not known.';
COMMENT ON COLUMN penstock.ingress_map.origin_as IS 'Origin AS of the announcement; NULL: not known.';
COMMENT ON COLUMN penstock.ingress_map.genuine_share IS 'Share, 0 to 1, of the prefix''s estimated genuine bytes that enter here.';
COMMENT ON COLUMN penstock.ingress_map.genuine_since IS 'Genuine without a break since; NULL: it is not.';
COMMENT ON COLUMN penstock.ingress_map.bundle IS 'Name that the places of one router have in common when they share the prefix evenly (LAG, ECMP); NULL: alone.';

-- Two statements with a plan that is kept: with a million prefixes a third of the time of one in SQL, which is
-- planned anew with all columns of the view each time it is asked (docs/benchmarks.md).
CREATE OR REPLACE FUNCTION penstock.ingress_of(address inet) RETURNS SETOF penstock.ingress_map
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 4 AS $$
DECLARE
    longest cidr := (SELECT e.prefix FROM penstock.ingress_entry e
                     WHERE e.prefix OPERATOR(pg_catalog.>>=) address
                     ORDER BY pg_catalog.masklen(e.prefix) DESC LIMIT 1);
BEGIN
    RETURN QUERY SELECT m.* FROM penstock.ingress_map m WHERE m.prefix = longest;
END $$;

-- Ranges split and join: the entry of one that is no more is deleted.
UPDATE penstock.role_grant SET privileges = 'SELECT, INSERT, UPDATE, DELETE'
    WHERE role = 'penstock_collector' AND object = 'ingress_entry';

-- ---- the counters behind it ----

-- An entry is computed from cells: the counters of one prefix, as sensors tally it, at one place. A
-- collector holds them in memory and writes them down bit by bit, over many transactions, into one of
-- two tables by turns. A restart reads the newest complete one, and then folds what was tallied since
-- each cell was written: so each tally says with which turn of the collector it was stored.
ALTER TABLE penstock.ingress_tally ADD COLUMN turn bigint NOT NULL DEFAULT 0;
-- One index for both: each row that comes is looked up in every BRIN index there is.
DROP INDEX penstock.ingress_tally_at_idx;
CREATE INDEX ON penstock.ingress_tally USING brin (at, turn) WITH (autosummarize = on);
DO $$ -- and of the partitions that are there
DECLARE
    place regclass;
BEGIN
    FOR place IN SELECT 'penstock.ingress_tally'::regclass
                 UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'penstock.ingress_tally'::regclass LOOP
        EXECUTE format('COMMENT ON COLUMN %s.turn IS %L', place,
                       'Number of the collector''s transaction that stored it (collector_turn.turns); 0: before there were such numbers.');
    END LOOP;
END $$;

-- Filled and emptied whole: nothing for a vacuum to do, and none shall be in the way of TRUNCATE.
CREATE TABLE penstock.ingress_cell_0 (
    prefix cidr NOT NULL,
    pop text NOT NULL,
    router text NOT NULL,
    interface text NOT NULL,
    vlan integer NOT NULL,
    mac macaddr NOT NULL,
    peer_as bigint NOT NULL,
    weight double precision NOT NULL,
    recent double precision NOT NULL,
    first_seen timestamptz,
    last_seen timestamptz,
    packets bigint NOT NULL,
    bytes bigint NOT NULL,
    turn bigint NOT NULL
) WITH (autovacuum_enabled = off);
COMMENT ON TABLE penstock.ingress_cell_0 IS 'Counters behind the map, generation 0: the collector''s own notes for its next start. Two tables are filled by turns; ingress_generation says which one is complete.';
COMMENT ON COLUMN penstock.ingress_cell_0.prefix IS 'Source prefix, as sensors tally it.';
COMMENT ON COLUMN penstock.ingress_cell_0.pop IS 'Point of presence.';
COMMENT ON COLUMN penstock.ingress_cell_0.router IS 'Router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_cell_0.interface IS 'Interface of the router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_cell_0.vlan IS 'Outermost VLAN id, 1 to 4094; 0: none.';
COMMENT ON COLUMN penstock.ingress_cell_0.mac IS 'MAC address of the peer; zero: not said.';
COMMENT ON COLUMN penstock.ingress_cell_0.peer_as IS 'AS number of the peer; 0: not said.';
COMMENT ON COLUMN penstock.ingress_cell_0.weight IS 'Bytes, decayed slowly, at last_seen: what shares are computed from.';
COMMENT ON COLUMN penstock.ingress_cell_0.recent IS 'Bytes, decayed fast, at last_seen: what moves are noticed by.';
COMMENT ON COLUMN penstock.ingress_cell_0.first_seen IS 'First traffic.';
COMMENT ON COLUMN penstock.ingress_cell_0.last_seen IS 'Last traffic.';
COMMENT ON COLUMN penstock.ingress_cell_0.packets IS 'Packets since first_seen.';
COMMENT ON COLUMN penstock.ingress_cell_0.bytes IS 'Bytes of those packets, from the Ethernet header on.';
COMMENT ON COLUMN penstock.ingress_cell_0.turn IS 'Number of the collector''s transaction that wrote this row: tallies of later ones are not in it.';
CREATE TABLE penstock.ingress_cell_1 (LIKE penstock.ingress_cell_0 INCLUDING ALL) WITH (autovacuum_enabled = off);
COMMENT ON TABLE penstock.ingress_cell_1 IS 'Counters behind the map, generation 1: as ingress_cell_0.';

CREATE TABLE penstock.ingress_generation (
    number integer PRIMARY KEY CHECK (number IN (0, 1)),
    is_complete boolean NOT NULL,
    first_turn bigint NOT NULL,
    cells bigint NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz
);
COMMENT ON TABLE penstock.ingress_generation IS 'The two tables of cells, one row each: a start reads the complete one of the later first_turn.';
COMMENT ON COLUMN penstock.ingress_generation.number IS 'Table ingress_cell_0 or ingress_cell_1.';
COMMENT ON COLUMN penstock.ingress_generation.is_complete IS 'Every cell that was there when it began is in it.';
COMMENT ON COLUMN penstock.ingress_generation.first_turn IS 'Number of the collector''s transaction that began it: all that was tallied until then is in its cells, and what was tallied later may be missing.';
COMMENT ON COLUMN penstock.ingress_generation.cells IS 'Rows in it, once it is complete.';
COMMENT ON COLUMN penstock.ingress_generation.began_at IS 'When it was begun.';
COMMENT ON COLUMN penstock.ingress_generation.ended_at IS 'When it was complete; NULL: it is not.';

-- What an older release left: each entry is the counters of its own prefix.
INSERT INTO penstock.ingress_cell_0
    SELECT prefix, pop, router, interface, vlan, mac, peer_as, weight, 0, first_seen, last_seen, packets, bytes, turns
    FROM penstock.ingress_entry, penstock.collector_turn WHERE packets > 0;
INSERT INTO penstock.ingress_generation
    SELECT 0, true, turns, (SELECT count(*) FROM penstock.ingress_cell_0), now(), now() FROM penstock.collector_turn;
INSERT INTO penstock.ingress_generation VALUES (1, false, 0, 0, now(), NULL);

-- Whoever reads the table, as a backup does, makes the collector wait with its notes, not with its work.
CREATE FUNCTION penstock.ingress_generation_begin(generation integer, turn bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF generation = 0 THEN
        LOCK TABLE penstock.ingress_cell_0 IN ACCESS EXCLUSIVE MODE NOWAIT;
        TRUNCATE penstock.ingress_cell_0;
    ELSE
        LOCK TABLE penstock.ingress_cell_1 IN ACCESS EXCLUSIVE MODE NOWAIT;
        TRUNCATE penstock.ingress_cell_1;
    END IF;
    UPDATE penstock.ingress_generation SET is_complete = false, first_turn = turn, cells = 0,
        began_at = clock_timestamp(), ended_at = NULL WHERE number = generation;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION penstock.ingress_generation_begin(integer, bigint) IS 'For the collector: empties that table of cells and begins its generation; false when somebody holds the table just now, as a backup does.';
REVOKE EXECUTE ON FUNCTION penstock.ingress_generation_begin(integer, bigint) FROM PUBLIC;

-- ---- its history ----

CREATE TABLE penstock.ingress_change_entry (
    at timestamptz NOT NULL,
    prefix cidr NOT NULL,
    other cidr,
    kind text NOT NULL CHECK (kind IN ('appeared', 'left', 'moved', 'split', 'joined')),
    from_pop text,
    from_router text,
    from_interface text,
    from_vlan integer,
    from_mac macaddr,
    from_peer_as bigint,
    from_state text,
    from_share_before double precision CHECK (from_share_before BETWEEN 0 AND 1),
    from_share_after double precision CHECK (from_share_after BETWEEN 0 AND 1),
    from_probability_before double precision CHECK (from_probability_before BETWEEN 0 AND 1),
    from_probability_after double precision CHECK (from_probability_after BETWEEN 0 AND 1),
    to_pop text,
    to_router text,
    to_interface text,
    to_vlan integer,
    to_mac macaddr,
    to_peer_as bigint,
    to_state text,
    to_share_before double precision CHECK (to_share_before BETWEEN 0 AND 1),
    to_share_after double precision CHECK (to_share_after BETWEEN 0 AND 1),
    to_probability_before double precision CHECK (to_probability_before BETWEEN 0 AND 1),
    to_probability_after double precision CHECK (to_probability_after BETWEEN 0 AND 1)
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.ingress_change_entry USING brin (at);
CREATE INDEX ON penstock.ingress_change_entry USING spgist (prefix inet_ops);
COMMENT ON TABLE penstock.ingress_change_entry IS 'Each change of where a prefix enters, by time; read it through the view ingress_change.';

CREATE VIEW penstock.ingress_change AS
    SELECT at, prefix, kind, from_pop, from_router, from_interface, from_peer_as, to_pop, to_router, to_interface,
           to_peer_as, from_share_before, from_share_after, to_share_before, to_share_after, from_probability_before,
           from_probability_after, to_probability_before, to_probability_after, from_state, to_state, other,
           from_vlan, from_mac, to_vlan, to_mac
    FROM penstock.ingress_change_entry;
COMMENT ON VIEW penstock.ingress_change IS 'When did the ingress of a prefix change: what appeared, left, moved, and how ranges of the map split and joined. Kept for database.keep_history.';

DO $$
DECLARE
    place text;
    col record;
BEGIN
    FOREACH place IN ARRAY ARRAY['ingress_change_entry', 'ingress_change'] LOOP
        FOR col IN
            SELECT * FROM (VALUES
                ('at', 'When it was noticed.'),
                ('prefix', 'Source prefix: a range of the map as it was then.'),
                ('other', 'Of a split: the wider or narrower prefix of the two; of a join: what it was before; NULL: neither.'),
                ('kind', 'appeared (a place that carries a part worth naming), left (one that does no more), moved (the genuine bulk left from for to), split or joined (the range of the map, not its traffic).')) AS v (name, says)
            UNION ALL
            SELECT side || '_' || name, format(says, CASE side WHEN 'from' THEN 'the place that it left' ELSE 'the place that it came to' END)
            FROM (VALUES ('from'), ('to')) AS s (side), (VALUES
                ('pop', 'Point of presence of %s; NULL: there is none.'),
                ('router', 'Router of %s; NULL: not said.'),
                ('interface', 'Interface of %s; NULL: not said.'),
                ('vlan', 'VLAN id of %s; NULL: none.'),
                ('mac', 'MAC address of the peer at %s; NULL: not said.'),
                ('peer_as', 'AS number of the peer at %s; NULL: not said.'),
                ('state', 'What the evidence said then of %s.'),
                ('share_before', 'Share, 0 to 1, of the prefix''s genuine bytes at %s, before.'),
                ('share_after', 'The same at %s, after.'),
                ('probability_before', 'Posterior probability, 0 to 1, that there was genuine traffic at %s, when it last changed before; NULL: no evidence.'),
                ('probability_after', 'The same at %s, at the change; NULL: no evidence.')) AS c (name, says)
        LOOP
            EXECUTE format('COMMENT ON COLUMN penstock.%I.%I IS %L', place, col.name, col.says);
        END LOOP;
    END LOOP;
END $$;
SELECT penstock.partition_add('ingress_change_entry', '1970-01-01'), penstock.partition_add('ingress_change_entry', '2100-01-01');

CREATE FUNCTION penstock.ingress_history(address inet, since timestamptz DEFAULT '-infinity') RETURNS SETOF penstock.ingress_change
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM penstock.ingress_change c
    WHERE c.prefix OPERATOR(pg_catalog.&&) address AND c.at >= since ORDER BY c.at
$$;
COMMENT ON FUNCTION penstock.ingress_history(inet, timestamptz) IS 'The changes since then of every range that contained the address, or overlapped with the prefix, oldest first.';

-- ---- how long things are kept ----

-- As partition_add, with the owner's rights: hence the checks. It drops whole months that are over,
-- never an open-ended partition, nor one that was detached, nor tallies that a collector's next start
-- still has to fold: those are looked for in the index, for a month of them may be read for an hour.
-- Whoever reads the table at that moment is not waited for longer than a moment.
CREATE FUNCTION penstock.partition_drop_before(parent text, before timestamptz, most integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '300ms' SET enable_seqscan = off
SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
DECLARE
    child record;
    is_needed boolean;
    done integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'penstock'::regnamespace AND relname = parent AND relkind = 'p') THEN
        RAISE EXCEPTION 'penstock.% is no table with partitions', parent USING ERRCODE = 'undefined_table';
    END IF;
    IF before IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than a day is kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR child IN SELECT relname, (regexp_match(bound, ' TO \(''([^'']*)''\)$'))[1]::timestamptz AS ends
                 FROM (SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
                       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = format('penstock.%I', parent)::regclass AND NOT i.inhdetachpending
                       AND c.relnamespace = 'penstock'::regnamespace AND c.relkind = 'r') b
                 WHERE bound !~ 'MINVALUE|MAXVALUE' ORDER BY 2 LOOP
        EXIT WHEN child.ends > before OR done >= most;
        IF parent = 'ingress_tally' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM penstock.%I WHERE turn > (SELECT max(first_turn)
                            FROM penstock.ingress_generation WHERE is_complete))', child.relname) INTO is_needed;
            CONTINUE WHEN is_needed;
        END IF;
        BEGIN
            EXECUTE format('DROP TABLE penstock.%I', child.relname);
        EXCEPTION WHEN lock_not_available THEN
            RETURN; -- another time
        END;
        done := done + 1;
        RETURN NEXT child.relname;
    END LOOP;
END $$;
COMMENT ON FUNCTION penstock.partition_drop_before(text, timestamptz, integer) IS 'Drops at most so many partitions of event table penstock.<parent> whose months were over by then, oldest first, with the rights of the owner; gives their names. None that is younger than a day, open-ended or detached, nor tallies that a start still needs; none at all while somebody reads the table.';
REVOKE EXECUTE ON FUNCTION penstock.partition_drop_before(text, timestamptz, integer) FROM PUBLIC;

-- ---- who may do what ----

UPDATE penstock.role_grant SET privileges = 'SELECT, INSERT' -- a start folds what its cells do not hold
    WHERE role = 'penstock_collector' AND object = 'ingress_tally';
INSERT INTO penstock.role_grant (role, object, privileges) VALUES
    ('penstock_collector', 'ingress_cell_0', 'SELECT, INSERT, TRUNCATE'),
    ('penstock_collector', 'ingress_cell_1', 'SELECT, INSERT, TRUNCATE'),
    ('penstock_collector', 'ingress_generation', 'SELECT, UPDATE'),
    ('penstock_collector', 'ingress_generation_begin(integer, bigint)', 'EXECUTE'),
    ('penstock_collector', 'ingress_change_entry', 'INSERT'),
    ('penstock_collector', 'partition_drop_before(text, timestamptz, integer)', 'EXECUTE'),
    ('penstock_reader', 'ingress_change', 'SELECT');
