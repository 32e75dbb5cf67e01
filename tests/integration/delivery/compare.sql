-- Which numbered events (numbered.h) of the sensors at one place are stored, and how often; which are
-- missing, and whether a gap says so. Prints one line of NAME=NUMBER.
--
-- Read after two temporary tables are filled from the drivers' journals:
--   journal (sensor, pushed, runs, stops)   numbers 1 … pushed were made, in so many runs
--   doubt (sensor, from_v, to_v)            of these, what a kill of the driver left in doubt: in the
--                                           ring, and not known to be on disk
-- and with variable pop.
--
-- Gaps are ranges of sequence numbers, and what is missing are ranges of v. Both lie between stored
-- neighbours of which both are known. There, as many numbers must be in gaps as are missing.
--
--   sent        numbers made
--   stored      of these, stored
--   double      rows beyond the first of a number; and of a sequence number within sensor and epoch
--   lost        missing, not in doubt, and in no gap
--   unspooled   missing, in doubt, and in no gap with an end: what a kill cost
--   unnamed     missing, not in doubt, and in a gap without an end: a spool was lost
--   gaps        in gaps with an end
--   excess      in gaps beyond what is missing: the publisher's own events, or a gap that is too long
--   inside      stored, though a gap says they never come
--   alien       rows with a number that nobody made, or in the wrong table
--   unnumbered  sequence numbers between stored neighbours for the publisher's own events
--   disorder    places where a later number has an earlier sequence number
--   map         1: the map's packets are the tallies' packets, and its tests are the tests that ended (where
--               ranges split or joined: no entry has more than these)
--   aside       set aside in malformed_event; they are missing like those in gaps, and counted apart

\set QUIET 1
SET client_min_messages = warning;

CREATE TEMP TABLE stored AS
SELECT sensor, flows AS v, epoch, event_seq AS seq, 'tally' AS kind FROM penstock.ingress_tally WHERE pop = :'pop'
UNION ALL
SELECT sensor, seq, epoch, event_seq, 'drop' FROM penstock.penny_drop_entry WHERE pop = :'pop'
UNION ALL
SELECT sensor, probes, epoch, event_seq, 'scan_window' FROM penstock.scan_window_entry WHERE pop = :'pop'
UNION ALL
SELECT sensor, packets, epoch, event_seq, 'sensor_status' FROM penstock.sensor_status WHERE pop = :'pop'
UNION ALL -- tests have no sequence number in SQL
SELECT sensor, ('x' || right(replace(test_id::text, '-', ''), 16))::bit(64)::bigint, NULL, NULL, 'test_started'
  FROM penstock.penny_test_entry WHERE pop = :'pop' AND rule = 'begun'
UNION ALL
SELECT sensor, flows, NULL, NULL, 'test_ended'
  FROM penstock.penny_test_entry WHERE pop = :'pop' AND ended_at IS NOT NULL;
CREATE INDEX ON stored (sensor, v);
CREATE INDEX ON stored (sensor, epoch, seq);

CREATE TEMP TABLE gap AS
SELECT row_number() OVER () AS id, g.*
  FROM (SELECT sensor, epoch, from_seq, to_seq FROM penstock.sensor_gap_entry
        UNION ALL SELECT sensor, epoch, seq, seq FROM penstock.malformed_event) g
 WHERE sensor IN (SELECT sensor FROM journal);

-- Missing numbers, each with the stored neighbour before it (0: none) whose sequence number is known.
CREATE TEMP TABLE missing AS
SELECT sensor, v, after_v,
       EXISTS (SELECT FROM doubt d WHERE d.sensor = m.sensor AND m.v BETWEEN d.from_v AND d.to_v) AS is_doubtful
  FROM (SELECT j.sensor, n.v, s.v IS NOT NULL AS is_stored,
               coalesce(max(s.mark) OVER (PARTITION BY j.sensor ORDER BY n.v), 0) AS after_v
          FROM journal j CROSS JOIN generate_series(1, j.pushed) n (v)
          LEFT JOIN (SELECT sensor, v, max(v) FILTER (WHERE seq IS NOT NULL) AS mark FROM stored GROUP BY sensor, v) s
                 ON s.sensor = j.sensor AND s.v = n.v) m
 WHERE NOT is_stored;

-- The same neighbour for each gap.
CREATE TEMP TABLE gap_place AS
SELECT g.id, g.sensor, g.to_seq - g.from_seq + 1 AS events,
       coalesce(before_it.v,
                (SELECT max(s.v) FROM stored s WHERE s.sensor = g.sensor AND s.seq IS NOT NULL AND s.v < after_it.v),
                CASE WHEN after_it.v IS NULL -- nothing of that epoch is stored: behind all others
                     THEN (SELECT max(s.v) FROM stored s WHERE s.sensor = g.sensor AND s.seq IS NOT NULL) END,
                0) AS after_v
  FROM gap g
  LEFT JOIN LATERAL (SELECT s.v FROM stored s WHERE s.sensor = g.sensor AND s.epoch = g.epoch AND s.seq < g.from_seq
                      ORDER BY s.seq DESC LIMIT 1) before_it ON true
  LEFT JOIN LATERAL (SELECT s.v FROM stored s WHERE s.sensor = g.sensor AND s.epoch = g.epoch AND s.seq >= coalesce(g.to_seq + 1, g.from_seq)
                      ORDER BY s.seq LIMIT 1) after_it ON true;

-- Per place: how many are missing, how many are in gaps, and whether one of these has no end.
CREATE TEMP TABLE place AS
SELECT sensor, after_v, coalesce(m.certain, 0) AS certain, coalesce(m.doubtful, 0) AS doubtful,
       coalesce(g.events, 0) AS in_gaps, coalesce(g.is_open, false) AS is_open
  FROM (SELECT sensor, after_v, count(*) FILTER (WHERE NOT is_doubtful) AS certain,
               count(*) FILTER (WHERE is_doubtful) AS doubtful FROM missing GROUP BY 1, 2) m
  FULL JOIN (SELECT sensor, after_v, sum(events) AS events, bool_or(events IS NULL) AS is_open
               FROM gap_place GROUP BY 1, 2) g USING (sensor, after_v);

-- Between neighbours of one epoch: sequence numbers that neither a test nor a gap explains.
CREATE TEMP TABLE step AS
SELECT k.sensor, k.v, k.next_seq > k.seq AS is_ordered,
       k.next_seq - k.seq - 1 - coalesce(p.in_gaps, 0)
       - (SELECT count(*) FROM stored t WHERE t.sensor = k.sensor AND t.seq IS NULL AND t.v > k.v AND t.v < k.next_v) AS unexplained
  FROM (SELECT sensor, v, epoch, seq, lead(v) OVER w AS next_v, lead(epoch) OVER w AS next_epoch, lead(seq) OVER w AS next_seq
          FROM stored WHERE seq IS NOT NULL WINDOW w AS (PARTITION BY sensor ORDER BY v)) k
  LEFT JOIN place p ON p.sensor = k.sensor AND p.after_v = k.v
 WHERE k.next_epoch = k.epoch AND k.next_seq <> k.seq + 1;

SELECT format('sent=%s stored=%s double=%s lost=%s unspooled=%s unnamed=%s gaps=%s excess=%s inside=%s alien=%s unnumbered=%s disorder=%s map=%s aside=%s',
    (SELECT coalesce(sum(pushed), 0) FROM journal),
    (SELECT count(*) FROM (SELECT DISTINCT sensor, v FROM stored) s),
    (SELECT count(*) FROM stored) - (SELECT count(*) FROM (SELECT DISTINCT sensor, v FROM stored) s)
      + (SELECT count(seq) FROM stored) - (SELECT count(*) FROM (SELECT DISTINCT sensor, epoch, seq FROM stored WHERE seq IS NOT NULL) s),
    (SELECT coalesce(sum(greatest(certain - in_gaps, 0)) FILTER (WHERE NOT is_open), 0) FROM place),
    (SELECT coalesce(sum(least(doubtful, greatest(certain + doubtful - in_gaps, 0))), 0) FROM place),
    (SELECT coalesce(sum(greatest(certain - in_gaps, 0)) FILTER (WHERE is_open), 0) FROM place),
    (SELECT coalesce(sum(in_gaps), 0) FROM place) - (SELECT count(*) FROM penstock.malformed_event WHERE sensor IN (SELECT sensor FROM journal)),
    (SELECT coalesce(sum(greatest(in_gaps - certain - doubtful, 0)), 0) FROM place),
    (SELECT count(*) FROM gap g JOIN stored s ON s.sensor = g.sensor AND s.epoch = g.epoch AND s.seq BETWEEN g.from_seq AND g.to_seq),
    (SELECT count(*) FROM stored s WHERE NOT EXISTS (SELECT FROM journal j WHERE j.sensor = s.sensor AND s.v BETWEEN 1 AND j.pushed)
        OR kind <> CASE s.v % 100 WHEN 0 THEN 'scan_window' WHEN 1 THEN 'sensor_status' WHEN 10 THEN 'test_started'
                                  WHEN 20 THEN 'test_ended' ELSE CASE WHEN s.v % 100 BETWEEN 11 AND 15 THEN 'drop' ELSE 'tally' END END),
    (SELECT coalesce(sum(unexplained) FILTER (WHERE unexplained > 0), 0) FROM step),
    (SELECT count(*) FROM step WHERE NOT is_ordered OR unexplained < 0),
    (SELECT (coalesce(sum(packets), 0) = (SELECT coalesce(sum(packets), 0) FROM penstock.ingress_tally WHERE pop = :'pop')
             AND (coalesce(sum(tests), 0) = (SELECT count(ended_at) FROM penstock.penny_test_entry WHERE pop = :'pop')
                  -- an entry that split or joined tells of tests that its neighbours tell of, too
                  OR EXISTS (SELECT FROM penstock.ingress_change WHERE kind IN ('split', 'joined'))
                     AND max(tests) BETWEEN 1 AND (SELECT count(ended_at) FROM penstock.penny_test_entry WHERE pop = :'pop')))::integer
       FROM penstock.ingress_map WHERE pop = :'pop'),
    (SELECT count(*) FROM penstock.malformed_event WHERE sensor IN (SELECT sensor FROM journal)));
