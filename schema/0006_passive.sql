-- Passive mode: flows that were watched and left alone, their sums, and what natural loss says.

CREATE TABLE penstock.passive_flow_entry (
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
    started_at timestamptz,
    ended_at timestamptz,
    start_reason text,
    end_reason text,
    data bigint,
    pure_ack bigint,
    keep_alives bigint,
    in_order bigint,
    out_of_order bigint,
    duplicates bigint,
    gaps bigint,
    gaps_late bigint,
    gaps_open bigint,
    gaps_forgotten bigint,
    bytes bigint,
    unseen bigint,
    coverage double precision,
    rst boolean,
    syn_only boolean
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.passive_flow_entry USING brin (at);
-- A test lists a bounded number of flows (penny.passive_rows).
CREATE INDEX ON penstock.passive_flow_entry (test_id);
COMMENT ON TABLE penstock.passive_flow_entry IS 'One row per flow that a passive test told one by one, when it had ended. One row per event, by time.';
COMMENT ON COLUMN penstock.passive_flow_entry.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.passive_flow_entry.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.passive_flow_entry.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.passive_flow_entry.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.passive_flow_entry.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.passive_flow_entry.test_id IS 'The test.';
COMMENT ON COLUMN penstock.passive_flow_entry.src IS 'Source address.';
COMMENT ON COLUMN penstock.passive_flow_entry.dst IS 'Destination address.';
COMMENT ON COLUMN penstock.passive_flow_entry.src_port IS 'Source port.';
COMMENT ON COLUMN penstock.passive_flow_entry.dst_port IS 'Destination port.';
COMMENT ON COLUMN penstock.passive_flow_entry.started_at IS 'Its first packet.';
COMMENT ON COLUMN penstock.passive_flow_entry.ended_at IS 'Its last packet.';
COMMENT ON COLUMN penstock.passive_flow_entry.start_reason IS 'syn, or mid_stream: it was there before the test.';
COMMENT ON COLUMN penstock.passive_flow_entry.end_reason IS 'fin, rst, idle, replaced (its ports were used anew), stopped (its test ended) or shutdown (the sensor did).';
COMMENT ON COLUMN penstock.passive_flow_entry.data IS 'Segments with payload, keep-alives left out.';
COMMENT ON COLUMN penstock.passive_flow_entry.pure_ack IS 'Segments without payload, SYN, FIN and RST.';
COMMENT ON COLUMN penstock.passive_flow_entry.keep_alives IS 'Segments that repeat the last byte only: keep-alives and zero-window probes.';
COMMENT ON COLUMN penstock.passive_flow_entry.in_order IS 'Segments with the next byte that was expected.';
COMMENT ON COLUMN penstock.passive_flow_entry.out_of_order IS 'Segments with old bytes of which some were missing: late, or sent again.';
COMMENT ON COLUMN penstock.passive_flow_entry.duplicates IS 'Segments all of whose bytes had come before.';
COMMENT ON COLUMN penstock.passive_flow_entry.gaps IS 'Gaps that opened: bytes were skipped.';
COMMENT ON COLUMN penstock.passive_flow_entry.gaps_late IS 'Gaps filled later than reordering explains: sent again.';
COMMENT ON COLUMN penstock.passive_flow_entry.gaps_open IS 'Gaps not seen filled by the flow''s end.';
COMMENT ON COLUMN penstock.passive_flow_entry.gaps_forgotten IS 'Of the open gaps, those not followed for want of memory: perhaps filled.';
COMMENT ON COLUMN penstock.passive_flow_entry.bytes IS 'Bytes of payload that came, repeats included.';
COMMENT ON COLUMN penstock.passive_flow_entry.unseen IS 'Bytes of the stream that never came.';
COMMENT ON COLUMN penstock.passive_flow_entry.coverage IS 'Share, 0 to 1, of the stream''s bytes that came, from the first to the highest.';
COMMENT ON COLUMN penstock.passive_flow_entry.rst IS 'Whether a RST came.';
COMMENT ON COLUMN penstock.passive_flow_entry.syn_only IS 'Whether nothing came but SYN, and perhaps RST.';
SELECT penstock.partition_add('passive_flow_entry', '1970-01-01'), penstock.partition_add('passive_flow_entry', '2100-01-01');

CREATE VIEW penstock.passive_flow AS
    SELECT
           test_id,
           sensor,
           pop,
           src,
           dst,
           src_port,
           dst_port,
           started_at,
           ended_at,
           start_reason,
           end_reason,
           data,
           pure_ack,
           keep_alives,
           in_order,
           out_of_order,
           duplicates,
           gaps,
           gaps_late,
           gaps_open,
           gaps_forgotten,
           bytes,
           unseen,
           coverage,
           rst,
           syn_only
    FROM penstock.passive_flow_entry;
COMMENT ON VIEW penstock.passive_flow IS 'Flows that passive tests watched, one row each, when they had ended; a test tells a bounded number of them. Nothing was withheld.';
COMMENT ON COLUMN penstock.passive_flow.test_id IS 'The test.';
COMMENT ON COLUMN penstock.passive_flow.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.passive_flow.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.passive_flow.src IS 'Source address.';
COMMENT ON COLUMN penstock.passive_flow.dst IS 'Destination address.';
COMMENT ON COLUMN penstock.passive_flow.src_port IS 'Source port.';
COMMENT ON COLUMN penstock.passive_flow.dst_port IS 'Destination port.';
COMMENT ON COLUMN penstock.passive_flow.started_at IS 'Its first packet.';
COMMENT ON COLUMN penstock.passive_flow.ended_at IS 'Its last packet.';
COMMENT ON COLUMN penstock.passive_flow.start_reason IS 'syn, or mid_stream: it was there before the test.';
COMMENT ON COLUMN penstock.passive_flow.end_reason IS 'fin, rst, idle, replaced (its ports were used anew), stopped (its test ended) or shutdown (the sensor did).';
COMMENT ON COLUMN penstock.passive_flow.data IS 'Segments with payload, keep-alives left out.';
COMMENT ON COLUMN penstock.passive_flow.pure_ack IS 'Segments without payload, SYN, FIN and RST.';
COMMENT ON COLUMN penstock.passive_flow.keep_alives IS 'Segments that repeat the last byte only: keep-alives and zero-window probes.';
COMMENT ON COLUMN penstock.passive_flow.in_order IS 'Segments with the next byte that was expected.';
COMMENT ON COLUMN penstock.passive_flow.out_of_order IS 'Segments with old bytes of which some were missing: late, or sent again.';
COMMENT ON COLUMN penstock.passive_flow.duplicates IS 'Segments all of whose bytes had come before.';
COMMENT ON COLUMN penstock.passive_flow.gaps IS 'Gaps that opened: bytes were skipped.';
COMMENT ON COLUMN penstock.passive_flow.gaps_late IS 'Gaps filled later than reordering explains: sent again.';
COMMENT ON COLUMN penstock.passive_flow.gaps_open IS 'Gaps not seen filled by the flow''s end.';
COMMENT ON COLUMN penstock.passive_flow.gaps_forgotten IS 'Of the open gaps, those not followed for want of memory: perhaps filled.';
COMMENT ON COLUMN penstock.passive_flow.bytes IS 'Bytes of payload that came, repeats included.';
COMMENT ON COLUMN penstock.passive_flow.unseen IS 'Bytes of the stream that never came.';
COMMENT ON COLUMN penstock.passive_flow.coverage IS 'Share, 0 to 1, of the stream''s bytes that came, from the first to the highest.';
COMMENT ON COLUMN penstock.passive_flow.rst IS 'Whether a RST came.';
COMMENT ON COLUMN penstock.passive_flow.syn_only IS 'Whether nothing came but SYN, and perhaps RST.';

CREATE TABLE penstock.passive_total_entry (
    sensor text NOT NULL,
    epoch bigint NOT NULL,
    event_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    pop text NOT NULL,
    test_id uuid NOT NULL,
    prefix cidr,
    router text NOT NULL,
    interface text NOT NULL,
    vlan integer,
    mac macaddr,
    peer_as bigint,
    started_at timestamptz,
    ended_at timestamptz,
    flows bigint,
    flows_listed bigint,
    flows_refused bigint,
    flows_mid_stream bigint,
    flows_syn_only bigint,
    ended_fin bigint,
    ended_rst bigint,
    ended_idle bigint,
    ended_replaced bigint,
    ended_stopped bigint,
    data bigint,
    pure_ack bigint,
    keep_alives bigint,
    in_order bigint,
    out_of_order bigint,
    duplicates bigint,
    gaps bigint,
    gaps_late bigint,
    gaps_unfilled bigint,
    gaps_open bigint,
    gaps_forgotten bigint,
    bytes bigint,
    unseen bigint,
    coverage double precision,
    likelihood_ratio double precision
) PARTITION BY RANGE (at);
CREATE INDEX ON penstock.passive_total_entry USING brin (at);
CREATE INDEX ON penstock.passive_total_entry (test_id);
COMMENT ON TABLE penstock.passive_total_entry IS 'One row per passive test: the sums over all its flows. One row per event, by time.';
COMMENT ON COLUMN penstock.passive_total_entry.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.passive_total_entry.epoch IS 'Run of the sensor: ns since 1970-01-01 UTC at its start.';
COMMENT ON COLUMN penstock.passive_total_entry.event_seq IS 'Number of the event within the run.';
COMMENT ON COLUMN penstock.passive_total_entry.at IS 'When the event was made, by the sensor''s clock.';
COMMENT ON COLUMN penstock.passive_total_entry.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.passive_total_entry.test_id IS 'The test.';
COMMENT ON COLUMN penstock.passive_total_entry.prefix IS 'Watched source prefix.';
COMMENT ON COLUMN penstock.passive_total_entry.router IS 'Router; empty: not said.';
COMMENT ON COLUMN penstock.passive_total_entry.interface IS 'Interface of the router; empty: not said.';
COMMENT ON COLUMN penstock.passive_total_entry.vlan IS 'Outermost VLAN id, 1 to 4094; NULL: none.';
COMMENT ON COLUMN penstock.passive_total_entry.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total_entry.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total_entry.started_at IS 'First packet of the aggregate.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_at IS 'End of the test.';
COMMENT ON COLUMN penstock.passive_total_entry.flows IS 'Flows watched; each ended in one of the ways below.';
COMMENT ON COLUMN penstock.passive_total_entry.flows_listed IS 'Of these, flows with a row of their own in passive_flow.';
COMMENT ON COLUMN penstock.passive_total_entry.flows_refused IS 'Packets that found the sensor''s flow table full; they are in no sum.';
COMMENT ON COLUMN penstock.passive_total_entry.flows_mid_stream IS 'Flows that were there before the test; the others began with SYN.';
COMMENT ON COLUMN penstock.passive_total_entry.flows_syn_only IS 'Flows with nothing but SYN, and perhaps RST.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_fin IS 'Flows that ended by FIN.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_rst IS 'Flows that ended by RST.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_idle IS 'Flows that ended by silence.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_replaced IS 'Flows that ended because their ports were used anew.';
COMMENT ON COLUMN penstock.passive_total_entry.ended_stopped IS 'Flows still open when the test ended, or the sensor.';
COMMENT ON COLUMN penstock.passive_total_entry.data IS 'Segments with payload, keep-alives left out.';
COMMENT ON COLUMN penstock.passive_total_entry.pure_ack IS 'Segments without payload, SYN, FIN and RST.';
COMMENT ON COLUMN penstock.passive_total_entry.keep_alives IS 'Segments that repeat the last byte only: keep-alives and zero-window probes.';
COMMENT ON COLUMN penstock.passive_total_entry.in_order IS 'Segments with the next byte that was expected.';
COMMENT ON COLUMN penstock.passive_total_entry.out_of_order IS 'Segments with old bytes of which some were missing: late, or sent again.';
COMMENT ON COLUMN penstock.passive_total_entry.duplicates IS 'Segments all of whose bytes had come before.';
COMMENT ON COLUMN penstock.passive_total_entry.gaps IS 'Gaps that opened: bytes were skipped.';
COMMENT ON COLUMN penstock.passive_total_entry.gaps_late IS 'Gaps filled later than reordering explains: these speak for a closed loop.';
COMMENT ON COLUMN penstock.passive_total_entry.gaps_unfilled IS 'Gaps that had their time and were not filled in it: these speak against a closed loop.';
COMMENT ON COLUMN penstock.passive_total_entry.gaps_open IS 'Gaps not seen filled by their flow''s end.';
COMMENT ON COLUMN penstock.passive_total_entry.gaps_forgotten IS 'Of the open gaps, those not followed for want of memory.';
COMMENT ON COLUMN penstock.passive_total_entry.bytes IS 'Bytes of payload that came, repeats included.';
COMMENT ON COLUMN penstock.passive_total_entry.unseen IS 'Bytes of the streams that never came.';
COMMENT ON COLUMN penstock.passive_total_entry.coverage IS 'Share, 0 to 1, of all streams'' bytes that came.';
COMMENT ON COLUMN penstock.passive_total_entry.likelihood_ratio IS 'Natural logarithm of the likelihood ratio of genuine to open loop by natural loss, under assumed rates: no proof.';
SELECT penstock.partition_add('passive_total_entry', '1970-01-01'), penstock.partition_add('passive_total_entry', '2100-01-01');

CREATE VIEW penstock.passive_total AS
    SELECT
           test_id,
           sensor,
           pop,
           prefix,
           NULLIF(router, '') AS router,
           NULLIF(interface, '') AS interface,
           vlan,
           mac,
           peer_as,
           started_at,
           ended_at,
           flows,
           flows_listed,
           flows_refused,
           flows_mid_stream,
           flows_syn_only,
           ended_fin,
           ended_rst,
           ended_idle,
           ended_replaced,
           ended_stopped,
           data,
           pure_ack,
           keep_alives,
           in_order,
           out_of_order,
           duplicates,
           gaps,
           gaps_late,
           gaps_unfilled,
           gaps_open,
           gaps_forgotten,
           bytes,
           unseen,
           coverage,
           likelihood_ratio
    FROM penstock.passive_total_entry;
COMMENT ON VIEW penstock.passive_total IS 'Passive tests that ended: the sums over all their flows, and what natural loss says of them.';
COMMENT ON COLUMN penstock.passive_total.test_id IS 'The test.';
COMMENT ON COLUMN penstock.passive_total.sensor IS 'Name of the sensor.';
COMMENT ON COLUMN penstock.passive_total.pop IS 'Point of presence of the sensor.';
COMMENT ON COLUMN penstock.passive_total.prefix IS 'Watched source prefix.';
COMMENT ON COLUMN penstock.passive_total.router IS 'Router; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total.interface IS 'Interface of the router; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total.vlan IS 'Outermost VLAN id, 1 to 4094; NULL: none.';
COMMENT ON COLUMN penstock.passive_total.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.passive_total.started_at IS 'First packet of the aggregate.';
COMMENT ON COLUMN penstock.passive_total.ended_at IS 'End of the test.';
COMMENT ON COLUMN penstock.passive_total.flows IS 'Flows watched; each ended in one of the ways below.';
COMMENT ON COLUMN penstock.passive_total.flows_listed IS 'Of these, flows with a row of their own in passive_flow.';
COMMENT ON COLUMN penstock.passive_total.flows_refused IS 'Packets that found the sensor''s flow table full; they are in no sum.';
COMMENT ON COLUMN penstock.passive_total.flows_mid_stream IS 'Flows that were there before the test; the others began with SYN.';
COMMENT ON COLUMN penstock.passive_total.flows_syn_only IS 'Flows with nothing but SYN, and perhaps RST.';
COMMENT ON COLUMN penstock.passive_total.ended_fin IS 'Flows that ended by FIN.';
COMMENT ON COLUMN penstock.passive_total.ended_rst IS 'Flows that ended by RST.';
COMMENT ON COLUMN penstock.passive_total.ended_idle IS 'Flows that ended by silence.';
COMMENT ON COLUMN penstock.passive_total.ended_replaced IS 'Flows that ended because their ports were used anew.';
COMMENT ON COLUMN penstock.passive_total.ended_stopped IS 'Flows still open when the test ended, or the sensor.';
COMMENT ON COLUMN penstock.passive_total.data IS 'Segments with payload, keep-alives left out.';
COMMENT ON COLUMN penstock.passive_total.pure_ack IS 'Segments without payload, SYN, FIN and RST.';
COMMENT ON COLUMN penstock.passive_total.keep_alives IS 'Segments that repeat the last byte only: keep-alives and zero-window probes.';
COMMENT ON COLUMN penstock.passive_total.in_order IS 'Segments with the next byte that was expected.';
COMMENT ON COLUMN penstock.passive_total.out_of_order IS 'Segments with old bytes of which some were missing: late, or sent again.';
COMMENT ON COLUMN penstock.passive_total.duplicates IS 'Segments all of whose bytes had come before.';
COMMENT ON COLUMN penstock.passive_total.gaps IS 'Gaps that opened: bytes were skipped.';
COMMENT ON COLUMN penstock.passive_total.gaps_late IS 'Gaps filled later than reordering explains: these speak for a closed loop.';
COMMENT ON COLUMN penstock.passive_total.gaps_unfilled IS 'Gaps that had their time and were not filled in it: these speak against a closed loop.';
COMMENT ON COLUMN penstock.passive_total.gaps_open IS 'Gaps not seen filled by their flow''s end.';
COMMENT ON COLUMN penstock.passive_total.gaps_forgotten IS 'Of the open gaps, those not followed for want of memory.';
COMMENT ON COLUMN penstock.passive_total.bytes IS 'Bytes of payload that came, repeats included.';
COMMENT ON COLUMN penstock.passive_total.unseen IS 'Bytes of the streams that never came.';
COMMENT ON COLUMN penstock.passive_total.coverage IS 'Share, 0 to 1, of all streams'' bytes that came.';
COMMENT ON COLUMN penstock.passive_total.likelihood_ratio IS 'Natural logarithm of the likelihood ratio of genuine to open loop by natural loss, under assumed rates: no proof.';

COMMENT ON COLUMN penstock.penny_test_entry.mode IS 'active (segments were withheld) or passive (nothing was; see passive_total).';
COMMENT ON COLUMN penstock.penny_test_entry.genuine_probability IS 'Posterior probability, 0 to 1, that the aggregate contains genuine traffic. Of a passive test: by natural loss, under assumed rates, never outside 0.17 to 0.94; it does not go into the map.';
COMMENT ON COLUMN penstock.penny_test_entry.flows IS 'Flows admitted; of a passive test: watched.';
COMMENT ON COLUMN penstock.penny_test_entry.duplicates IS 'Segments kept whose bytes all came again nevertheless; of a passive test: segments all of whose bytes had come before.';
COMMENT ON COLUMN penstock.penny_test.mode IS 'active (segments were withheld) or passive (nothing was; see passive_total).';
COMMENT ON COLUMN penstock.penny_test.genuine_probability IS 'Posterior probability, 0 to 1, that the aggregate contains genuine traffic. Of a passive test: by natural loss, under assumed rates, never outside 0.17 to 0.94; it does not go into the map.';
COMMENT ON COLUMN penstock.penny_test.flows IS 'Flows admitted; of a passive test: watched.';
COMMENT ON COLUMN penstock.penny_test.duplicates IS 'Segments kept whose bytes all came again nevertheless; of a passive test: segments all of whose bytes had come before.';
