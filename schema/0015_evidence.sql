-- Evidence that ages: the numbers behind a state, for who wants to know how much is left of them.

CREATE VIEW penstock.ingress_evidence AS
    SELECT
           prefix,
           pop,
           NULLIF(router, '') AS router,
           NULLIF(interface, '') AS interface,
           NULLIF(vlan, 0) AS vlan,
           NULLIF(mac, '00:00:00:00:00:00'::macaddr) AS mac,
           NULLIF(peer_as, 0) AS peer_as,
           state,
           tests,
           last_test_at,
           evidence_genuine,
           evidence_spoofed,
           evidence_at,
           untestable_at,
           genuine_since,
           NULLIF(testing_by, '') AS testing_by
    FROM penstock.ingress_entry
    WHERE tests > 0 OR evidence_at IS NOT NULL OR untestable_at IS NOT NULL;
COMMENT ON VIEW penstock.ingress_evidence IS 'What the state of a map entry rests on: decayed counts of withheld segments. Entries that were never tested are left out. evidence_genuine + evidence_spoofed halves every evidence.half_life from evidence_at on; below 1 the state goes back to unverified.';
COMMENT ON COLUMN penstock.ingress_evidence.prefix IS 'Source prefix.';
COMMENT ON COLUMN penstock.ingress_evidence.pop IS 'Point of presence.';
COMMENT ON COLUMN penstock.ingress_evidence.router IS 'Router; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_evidence.interface IS 'Interface of the router; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_evidence.vlan IS 'Outermost VLAN id; NULL: none.';
COMMENT ON COLUMN penstock.ingress_evidence.mac IS 'MAC address of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_evidence.peer_as IS 'AS number of the peer; NULL: not said.';
COMMENT ON COLUMN penstock.ingress_evidence.state IS 'What the evidence says, as in ingress_map.';
COMMENT ON COLUMN penstock.ingress_evidence.tests IS 'Penny tests of it so far.';
COMMENT ON COLUMN penstock.ingress_evidence.last_test_at IS 'End of the newest test that the state tells of; NULL: none yet.';
COMMENT ON COLUMN penstock.ingress_evidence.evidence_genuine IS 'Decayed count of withheld segments that say genuine, at evidence_at: corrected for repeats by chance.';
COMMENT ON COLUMN penstock.ingress_evidence.evidence_spoofed IS 'Decayed count of withheld segments that say spoofed, at evidence_at.';
COMMENT ON COLUMN penstock.ingress_evidence.evidence_at IS 'Time to which both counts are decayed; NULL: there is no evidence.';
COMMENT ON COLUMN penstock.ingress_evidence.untestable_at IS 'When a test last found packets, but no TCP data to test; NULL: never.';
COMMENT ON COLUMN penstock.ingress_evidence.genuine_since IS 'Genuine without a break since; NULL: it is not.';
COMMENT ON COLUMN penstock.ingress_evidence.testing_by IS 'Sensor whose test began last here, while it runs; NULL: none.';

INSERT INTO penstock.role_grant (role, object, privileges) VALUES
    ('penstock_reader', 'ingress_evidence', 'SELECT');
