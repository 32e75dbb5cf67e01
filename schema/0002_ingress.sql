-- The ingress map: one row per source prefix and place where it enters; and the tallies behind it.

CREATE TABLE penstock.ingress_entry (
    prefix cidr NOT NULL,
    pop text NOT NULL,
    router text NOT NULL,
    interface text NOT NULL,
    vlan integer NOT NULL DEFAULT 0,
    mac macaddr NOT NULL DEFAULT '00:00:00:00:00:00',
    peer_as bigint NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('unverified', 'testing', 'genuine', 'mixed', 'spoofed', 'inconclusive', 'unverifiable')),
    genuine_probability double precision CHECK (genuine_probability BETWEEN 0 AND 1),
    genuine_fraction double precision CHECK (genuine_fraction BETWEEN 0 AND 1),
    genuine_low double precision CHECK (genuine_low BETWEEN 0 AND 1),
    genuine_high double precision CHECK (genuine_high BETWEEN 0 AND 1),
    share double precision NOT NULL CHECK (share BETWEEN 0 AND 1),
    weight double precision NOT NULL,
    weight_at timestamptz,
    packets bigint NOT NULL,
    bytes bigint NOT NULL,
    expected boolean,
    expected_by text NOT NULL DEFAULT '',
    tests bigint NOT NULL,
    first_seen timestamptz,
    last_seen timestamptz,
    last_test_at timestamptz,
    testing_by text NOT NULL DEFAULT '',
    PRIMARY KEY (prefix, pop, router, interface, vlan, mac, peer_as)
);
-- Longest-prefix match: SP-GiST takes 20 us where the GiST class takes milliseconds (decision 5).
CREATE INDEX ingress_entry_prefix ON penstock.ingress_entry USING spgist (prefix inet_ops);
COMMENT ON INDEX penstock.ingress_entry_prefix IS 'Longest-prefix match for ingress_of().';
COMMENT ON TABLE penstock.ingress_entry IS 'One entry of the ingress map per source prefix and ingress point. Zero and empty stand for "not said" so that the key has no NULL; read it through the view ingress_map.';
COMMENT ON COLUMN penstock.ingress_entry.prefix IS 'Source prefix.';
COMMENT ON COLUMN penstock.ingress_entry.pop IS 'Point of presence.';
COMMENT ON COLUMN penstock.ingress_entry.router IS 'Router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_entry.interface IS 'Interface of the router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_entry.vlan IS 'Outermost VLAN id, 1 to 4094; 0: none.';
COMMENT ON COLUMN penstock.ingress_entry.mac IS 'MAC address of the peer; zero: not said.';
COMMENT ON COLUMN penstock.ingress_entry.peer_as IS 'AS number of the peer; 0: not said.';
COMMENT ON COLUMN penstock.ingress_entry.state IS 'What the evidence says: unverified, testing, genuine, mixed, spoofed, inconclusive or unverifiable (nothing there can be tested).';
COMMENT ON COLUMN penstock.ingress_entry.genuine_probability IS 'Posterior probability, 0 to 1, that this contains genuine traffic; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_entry.genuine_fraction IS 'Estimated genuine share of it, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_entry.genuine_low IS 'Low end of the fraction''s interval, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_entry.genuine_high IS 'High end of the fraction''s interval, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_entry.share IS 'Share, 0 to 1, of the prefix''s bytes that enter here; old bytes count less.';
COMMENT ON COLUMN penstock.ingress_entry.weight IS 'Decayed bytes behind share; kept so that a restart goes on.';
COMMENT ON COLUMN penstock.ingress_entry.weight_at IS 'Time to which weight is decayed.';
COMMENT ON COLUMN penstock.ingress_entry.packets IS 'Packets since first_seen.';
COMMENT ON COLUMN penstock.ingress_entry.bytes IS 'Bytes of those packets, from the Ethernet header on.';
COMMENT ON COLUMN penstock.ingress_entry.expected IS 'Whether it is expected here; NULL: nobody said.';
COMMENT ON COLUMN penstock.ingress_entry.expected_by IS 'Who says so (policy); empty: nobody.';
COMMENT ON COLUMN penstock.ingress_entry.tests IS 'Penny tests of it so far.';
COMMENT ON COLUMN penstock.ingress_entry.first_seen IS 'First traffic.';
COMMENT ON COLUMN penstock.ingress_entry.last_seen IS 'Last traffic.';
COMMENT ON COLUMN penstock.ingress_entry.last_test_at IS 'End of the test that the state tells of; NULL: none yet.';
COMMENT ON COLUMN penstock.ingress_entry.testing_by IS 'State testing: sensor whose test began last here; when it restarts, stops, falls silent or loses events the entry says again what it said before. Else empty.';

CREATE VIEW penstock.ingress_map AS
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
           last_test_at
    FROM penstock.ingress_entry;
COMMENT ON VIEW penstock.ingress_map IS 'The ingress map: where traffic from each source prefix enters, how much of it, and whether it is genuine.';
COMMENT ON COLUMN penstock.ingress_map.prefix IS 'Source prefix.';
COMMENT ON COLUMN penstock.ingress_map.pop IS 'Point of presence.';
COMMENT ON COLUMN penstock.ingress_map.router IS 'Router; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_map.interface IS 'Interface of the router; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_map.vlan IS 'Outermost VLAN id, 1 to 4094; NULL: none.';
COMMENT ON COLUMN penstock.ingress_map.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_map.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_map.state IS 'What the evidence says: unverified, testing, genuine, mixed, spoofed, inconclusive or unverifiable (nothing there can be tested).';
COMMENT ON COLUMN penstock.ingress_map.genuine_probability IS 'Posterior probability, 0 to 1, that this contains genuine traffic; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_map.genuine_fraction IS 'Estimated genuine share of it, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_map.genuine_low IS 'Low end of the fraction''s interval, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_map.genuine_high IS 'High end of the fraction''s interval, 0 to 1; NULL: no evidence.';
COMMENT ON COLUMN penstock.ingress_map.share IS 'Share, 0 to 1, of the prefix''s bytes that enter here; old bytes count less.';
COMMENT ON COLUMN penstock.ingress_map.packets IS 'Packets since first_seen.';
COMMENT ON COLUMN penstock.ingress_map.bytes IS 'Bytes of those packets, from the Ethernet header on.';
COMMENT ON COLUMN penstock.ingress_map.expected IS 'Whether it is expected here; NULL: nobody said.';
COMMENT ON COLUMN penstock.ingress_map.expected_by IS 'Who says so (policy); NULL: nobody.';
COMMENT ON COLUMN penstock.ingress_map.tests IS 'Penny tests of it so far.';
COMMENT ON COLUMN penstock.ingress_map.first_seen IS 'First traffic.';
COMMENT ON COLUMN penstock.ingress_map.last_seen IS 'Last traffic.';
COMMENT ON COLUMN penstock.ingress_map.last_test_at IS 'End of the test that the state tells of; NULL: none yet.';

CREATE FUNCTION penstock.ingress_of(address inet) RETURNS SETOF penstock.ingress_map
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM penstock.ingress_map
    WHERE prefix = (SELECT e.prefix FROM penstock.ingress_entry e
                    WHERE e.prefix OPERATOR(pg_catalog.>>=) address
                    ORDER BY pg_catalog.masklen(e.prefix) DESC LIMIT 1)
$$;
COMMENT ON FUNCTION penstock.ingress_of(inet) IS 'The rows of ingress_map for the longest prefix that contains the address (or covers the prefix); none if there is none.';

CREATE TABLE penstock.ingress_tally (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    event_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    pop text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    prefix cidr,
    router text NOT NULL,
    interface text NOT NULL,
    vlan integer,
    mac macaddr,
    peer_as bigint,
    packets bigint NOT NULL,
    bytes bigint NOT NULL,
    flows bigint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.ingress_tally USING brin (at);
COMMENT ON TABLE penstock.ingress_tally IS 'Traffic of one source prefix at one ingress in one interval, as one sensor counted it. One row per event, by time.';
COMMENT ON COLUMN penstock.ingress_tally.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.ingress_tally.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.ingress_tally.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.ingress_tally.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.ingress_tally.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.ingress_tally.started_at IS 'Start of the interval.';
COMMENT ON COLUMN penstock.ingress_tally.ended_at IS 'End of the interval.';
COMMENT ON COLUMN penstock.ingress_tally.prefix IS 'Source prefix.';
COMMENT ON COLUMN penstock.ingress_tally.router IS 'Router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_tally.interface IS 'Interface of the router; empty: not said.';
COMMENT ON COLUMN penstock.ingress_tally.vlan IS 'Outermost VLAN id, 1 to 4094; NULL: none.';
COMMENT ON COLUMN penstock.ingress_tally.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_tally.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_tally.packets IS 'Packets seen.';
COMMENT ON COLUMN penstock.ingress_tally.bytes IS 'Bytes of those packets, from the Ethernet header on.';
COMMENT ON COLUMN penstock.ingress_tally.flows IS 'Distinct five-tuples, estimated by linear counting.';
SELECT penstock.partition_add('ingress_tally', '1970-01-01'), penstock.partition_add('ingress_tally', '2100-01-01');
