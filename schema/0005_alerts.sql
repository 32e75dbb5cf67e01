-- Alerts: few, explained, and with an end.

-- An alert must not stop the collector because its details were cut or badly quoted on the way.
CREATE FUNCTION penstock.jsonb_of(document text) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog AS $$
BEGIN
    RETURN document::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN to_jsonb(document);
END $$;
COMMENT ON FUNCTION penstock.jsonb_of(text) IS 'The JSON document; text that is none becomes a JSON string.';

CREATE TABLE penstock.alert (
    alert_id bigint PRIMARY KEY,
    fingerprint text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    state text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved', 'suppressed')),
    prefix cidr,
    pop text,
    router text,
    interface text,
    peer_as bigint,
    summary text NOT NULL,
    expected jsonb,
    evidence jsonb,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    resolved_at timestamptz,
    acknowledged_by text,
    vlan integer,
    mac macaddr
);
CREATE INDEX alert_open ON penstock.alert (started_at) WHERE resolved_at IS NULL;
COMMENT ON INDEX penstock.alert_open IS 'Alerts without an end: few among many.';
CREATE INDEX alert_fingerprint ON penstock.alert (fingerprint);
COMMENT ON INDEX penstock.alert_fingerprint IS 'Earlier occurrences of a matter.';
COMMENT ON TABLE penstock.alert IS 'Alerts: one row per matter and occurrence, with its end. New states are announced with NOTIFY penstock_alert, payload the alert_id.';
COMMENT ON COLUMN penstock.alert.alert_id IS 'The alert.';
COMMENT ON COLUMN penstock.alert.fingerprint IS 'The matter, hashed, hexadecimal: the same matter has the same one, for ever.';
COMMENT ON COLUMN penstock.alert.kind IS 'What it is about; ingress_unexpected: genuine traffic where the policy does not expect it.';
COMMENT ON COLUMN penstock.alert.severity IS 'info, warning or critical.';
COMMENT ON COLUMN penstock.alert.confidence IS 'How sure it is, 0 to 1.';
COMMENT ON COLUMN penstock.alert.state IS 'pending (hold-down), firing, acknowledged, resolved or suppressed.';
COMMENT ON COLUMN penstock.alert.prefix IS 'Source prefix; NULL: not about one.';
COMMENT ON COLUMN penstock.alert.pop IS 'Point of presence; NULL: not said.';
COMMENT ON COLUMN penstock.alert.router IS 'Router; NULL: not said.';
COMMENT ON COLUMN penstock.alert.interface IS 'Interface of the router; NULL: not said.';
COMMENT ON COLUMN penstock.alert.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.alert.summary IS 'One sentence for a human.';
COMMENT ON COLUMN penstock.alert.expected IS 'The places that are expected instead; NULL: none named.';
COMMENT ON COLUMN penstock.alert.evidence IS 'The rule that fired, with its numbers and tests.';
COMMENT ON COLUMN penstock.alert.started_at IS 'When the condition began.';
COMMENT ON COLUMN penstock.alert.updated_at IS 'When this row last changed.';
COMMENT ON COLUMN penstock.alert.resolved_at IS 'When it ended; NULL: it has not.';
COMMENT ON COLUMN penstock.alert.acknowledged_by IS 'Who acknowledged it; NULL: nobody.';
COMMENT ON COLUMN penstock.alert.vlan IS 'Outermost VLAN id of the place; NULL: none.';
COMMENT ON COLUMN penstock.alert.mac IS 'MAC address of the peer; NULL: not said.';
