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
    ADD COLUMN bundle text NOT NULL DEFAULT '';
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

-- Ranges split and join: the entry of one that is no more is deleted.
UPDATE penstock.role_grant SET privileges = 'SELECT, INSERT, UPDATE, DELETE'
    WHERE role = 'penstock_collector' AND object = 'ingress_entry';
