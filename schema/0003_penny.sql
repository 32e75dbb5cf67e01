-- Penny tests: what was tested, the verdict as a number, and each drop that decided it.

CREATE TABLE penstock.penny_test_entry (
    test_id uuid NOT NULL,
    sensor text NOT NULL,
    pop text NOT NULL,
    prefix cidr,
    router text NOT NULL,
    interface text NOT NULL,
    vlan integer,
    mac macaddr,
    peer_as bigint,
    mode text,
    rule text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    verdict text,
    genuine_probability double precision,
    genuine_fraction double precision,
    genuine_low double precision,
    genuine_high double precision,
    genuine_evidence double precision,
    open_evidence double precision,
    flows bigint,
    droppable bigint,
    drops bigint,
    retransmitted bigint,
    unanswered bigint,
    invalid bigint,
    controls bigint,
    duplicates bigint,
    reason text,
    PRIMARY KEY (sensor, test_id)
);
CREATE INDEX penny_test_entry_prefix ON penstock.penny_test_entry USING spgist (prefix inet_ops);
COMMENT ON INDEX penstock.penny_test_entry_prefix IS 'Tests of a prefix.';
COMMENT ON TABLE penstock.penny_test_entry IS 'One row per Penny test, made when it begins and completed when it ends. The key holds sensor, by which events are distributed.';
COMMENT ON COLUMN penstock.penny_test_entry.test_id IS 'The test.';
COMMENT ON COLUMN penstock.penny_test_entry.sensor IS 'Sensor that tested.';
COMMENT ON COLUMN penstock.penny_test_entry.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.penny_test_entry.prefix IS 'Watched source prefix.';
COMMENT ON COLUMN penstock.penny_test_entry.router IS 'Router; empty: not said.';
COMMENT ON COLUMN penstock.penny_test_entry.interface IS 'Interface of the router; empty: not said.';
COMMENT ON COLUMN penstock.penny_test_entry.vlan IS 'Outermost VLAN id, 1 to 4094; NULL: none.';
COMMENT ON COLUMN penstock.penny_test_entry.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.penny_test_entry.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.penny_test_entry.mode IS 'active (segments were dropped) or passive.';
COMMENT ON COLUMN penstock.penny_test_entry.rule IS 'Verdict rule.';
COMMENT ON COLUMN penstock.penny_test_entry.started_at IS 'First packet of the aggregate.';
COMMENT ON COLUMN penstock.penny_test_entry.ended_at IS 'When the verdict fell; NULL: still running, or lost with its sensor.';
COMMENT ON COLUMN penstock.penny_test_entry.verdict IS 'genuine, spoofed, mixed, duplicates_exceeded or inconclusive; NULL: none yet.';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_probability IS 'Posterior probability, 0 to 1, that the aggregate contains genuine traffic.';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_fraction IS 'Estimated share of genuine segments, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_low IS 'Low end of the fraction''s interval, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_high IS 'High end of the fraction''s interval, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_evidence IS 'Natural logarithm of the e-value against a wholly open-loop aggregate.';
COMMENT ON COLUMN penstock.penny_test_entry.open_evidence IS 'Natural logarithm of the likelihood ratio against a wholly genuine aggregate.';
COMMENT ON COLUMN penstock.penny_test_entry.flows IS 'Flows admitted.';
COMMENT ON COLUMN penstock.penny_test_entry.droppable IS 'Segments that took part in the draw.';
COMMENT ON COLUMN penstock.penny_test_entry.drops IS 'Segments withheld.';
COMMENT ON COLUMN penstock.penny_test_entry.retransmitted IS 'Segments withheld whose bytes all came again in time.';
COMMENT ON COLUMN penstock.penny_test_entry.unanswered IS 'Segments withheld whose bytes did not.';
COMMENT ON COLUMN penstock.penny_test_entry.invalid IS 'Segments withheld that are no evidence either way (RST, silence).';
COMMENT ON COLUMN penstock.penny_test_entry.controls IS 'Segments kept and resolved: the control group.';
COMMENT ON COLUMN penstock.penny_test_entry.duplicates IS 'Segments kept whose bytes all came again nevertheless.';
COMMENT ON COLUMN penstock.penny_test_entry.reason IS 'Why this verdict, in words.';

CREATE VIEW penstock.penny_test AS
    SELECT
           test_id,
           sensor,
           pop,
           prefix,
           NULLIF(router, '') AS router,
           NULLIF(interface, '') AS interface,
           mode,
           started_at,
           ended_at,
           verdict,
           genuine_probability,
           genuine_fraction,
           genuine_low,
           genuine_high,
           flows,
           droppable,
           drops,
           retransmitted,
           unanswered,
           duplicates,
           reason
    FROM penstock.penny_test_entry;
COMMENT ON VIEW penstock.penny_test IS 'Penny tests, running and ended: the verdict on one source prefix at one ingress, with its numbers.';
COMMENT ON COLUMN penstock.penny_test.test_id IS 'The test.';
COMMENT ON COLUMN penstock.penny_test.sensor IS 'Sensor that tested.';
COMMENT ON COLUMN penstock.penny_test.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.penny_test.prefix IS 'Watched source prefix.';
COMMENT ON COLUMN penstock.penny_test.router IS 'Router; NULL: not said.';
COMMENT ON COLUMN penstock.penny_test.interface IS 'Interface of the router; NULL: not said.';
COMMENT ON COLUMN penstock.penny_test.mode IS 'active (segments were dropped) or passive.';
COMMENT ON COLUMN penstock.penny_test.started_at IS 'First packet of the aggregate.';
COMMENT ON COLUMN penstock.penny_test.ended_at IS 'When the verdict fell; NULL: still running, or lost with its sensor.';
COMMENT ON COLUMN penstock.penny_test.verdict IS 'genuine, spoofed, mixed, duplicates_exceeded or inconclusive; NULL: none yet.';
COMMENT ON COLUMN penstock.penny_test.genuine_probability IS 'Posterior probability, 0 to 1, that the aggregate contains genuine traffic.';
COMMENT ON COLUMN penstock.penny_test.genuine_fraction IS 'Estimated share of genuine segments, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test.genuine_low IS 'Low end of the fraction''s interval, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test.genuine_high IS 'High end of the fraction''s interval, 0 to 1.';
COMMENT ON COLUMN penstock.penny_test.flows IS 'Flows admitted.';
COMMENT ON COLUMN penstock.penny_test.droppable IS 'Segments that took part in the draw.';
COMMENT ON COLUMN penstock.penny_test.drops IS 'Segments withheld.';
COMMENT ON COLUMN penstock.penny_test.retransmitted IS 'Segments withheld whose bytes all came again in time.';
COMMENT ON COLUMN penstock.penny_test.unanswered IS 'Segments withheld whose bytes did not.';
COMMENT ON COLUMN penstock.penny_test.duplicates IS 'Segments kept whose bytes all came again nevertheless.';
COMMENT ON COLUMN penstock.penny_test.reason IS 'Why this verdict, in words.';

CREATE TABLE penstock.penny_drop_entry (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    event_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    pop text NOT NULL,
    test_id uuid NOT NULL,
    src inet,
    dst inet,
    src_port integer,
    dst_port integer,
    seq bigint,
    length bigint,
    dropped_at timestamptz,
    outcome text,
    answered_after interval
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.penny_drop_entry USING brin (at);
-- A test has a handful of drops, so this index is small and makes a verdict's evidence quick to show.
CREATE INDEX ON penstock.penny_drop_entry (test_id);
COMMENT ON TABLE penstock.penny_drop_entry IS 'One row per segment that a Penny test withheld, and what became of it. One row per event, by time.';
COMMENT ON COLUMN penstock.penny_drop_entry.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.penny_drop_entry.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.penny_drop_entry.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.penny_drop_entry.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.penny_drop_entry.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.penny_drop_entry.test_id IS 'The test.';
COMMENT ON COLUMN penstock.penny_drop_entry.src IS 'Source address.';
COMMENT ON COLUMN penstock.penny_drop_entry.dst IS 'Destination address.';
COMMENT ON COLUMN penstock.penny_drop_entry.src_port IS 'Source port.';
COMMENT ON COLUMN penstock.penny_drop_entry.dst_port IS 'Destination port.';
COMMENT ON COLUMN penstock.penny_drop_entry.seq IS 'TCP sequence number of the segment''s first byte.';
COMMENT ON COLUMN penstock.penny_drop_entry.length IS 'Payload of the segment, bytes.';
COMMENT ON COLUMN penstock.penny_drop_entry.dropped_at IS 'When it was withheld.';
COMMENT ON COLUMN penstock.penny_drop_entry.outcome IS 'retransmitted (all its bytes came again in time), unanswered, or invalid (no evidence either way).';
COMMENT ON COLUMN penstock.penny_drop_entry.answered_after IS 'From the drop to the last of its bytes coming again; NULL: they did not.';
SELECT penstock.partition_add('penny_drop_entry', '1970-01-01'), penstock.partition_add('penny_drop_entry', '2100-01-01');

CREATE VIEW penstock.penny_drop AS
    SELECT
           test_id,
           src,
           dst,
           src_port,
           dst_port,
           seq,
           length,
           dropped_at,
           outcome,
           answered_after
    FROM penstock.penny_drop_entry;
COMMENT ON VIEW penstock.penny_drop IS 'Each segment that a Penny test withheld: the evidence behind a verdict.';
COMMENT ON COLUMN penstock.penny_drop.test_id IS 'The test.';
COMMENT ON COLUMN penstock.penny_drop.src IS 'Source address.';
COMMENT ON COLUMN penstock.penny_drop.dst IS 'Destination address.';
COMMENT ON COLUMN penstock.penny_drop.src_port IS 'Source port.';
COMMENT ON COLUMN penstock.penny_drop.dst_port IS 'Destination port.';
COMMENT ON COLUMN penstock.penny_drop.seq IS 'TCP sequence number of the segment''s first byte.';
COMMENT ON COLUMN penstock.penny_drop.length IS 'Payload of the segment, bytes.';
COMMENT ON COLUMN penstock.penny_drop.dropped_at IS 'When it was withheld.';
COMMENT ON COLUMN penstock.penny_drop.outcome IS 'retransmitted (all its bytes came again in time), unanswered, or invalid (no evidence either way).';
COMMENT ON COLUMN penstock.penny_drop.answered_after IS 'From the drop to the last of its bytes coming again; NULL: they did not.';
