-- Where does an address enter, in less work: the next key at or before an address is mostly the answer.

-- Prefixes sort as a tree is walked: a prefix before all that it contains. So the greatest one that is not after
-- the address is, when it contains the address, the longest that does; the key's own index finds it in one
-- descent, which takes a fifth of the time of SP-GiST. Only when it does not contain it (it ended before the
-- address, and a wider one may go on) SP-GiST is asked, as ever (docs/benchmarks.md, "The ingress map in PostgreSQL").
CREATE OR REPLACE FUNCTION penstock.ingress_of(address inet) RETURNS SETOF penstock.ingress_map
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 4 AS $$
DECLARE
    longest cidr := (SELECT e.prefix FROM penstock.ingress_entry e
                     WHERE e.prefix OPERATOR(pg_catalog.<=) address
                     ORDER BY e.prefix DESC LIMIT 1);
BEGIN
    IF NOT longest OPERATOR(pg_catalog.>>=) address THEN
        longest := (SELECT e.prefix FROM penstock.ingress_entry e
                    WHERE e.prefix OPERATOR(pg_catalog.>>=) address
                    ORDER BY pg_catalog.masklen(e.prefix) DESC LIMIT 1);
    END IF;
    RETURN QUERY SELECT m.* FROM penstock.ingress_map m WHERE m.prefix OPERATOR(pg_catalog.=) longest;
END $$;
COMMENT ON INDEX penstock.ingress_entry_prefix IS 'Longest-prefix match for ingress_of(), when the nearest prefix in the order of the key is not it.';
