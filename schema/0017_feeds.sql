-- Feeds: how far each has told the alerts.

CREATE TABLE penstock.alert_feed (
    name text PRIMARY KEY,
    type text NOT NULL,
    event_id bigint NOT NULL CHECK (event_id >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    sent bigint NOT NULL DEFAULT 0 CHECK (sent >= 0),
    skipped bigint NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    failing_since timestamptz,
    last_error text
);
COMMENT ON TABLE penstock.alert_feed IS 'A row per feed (alerts.feeds): its cursor in penstock.alert_event. A feed that is no longer configured keeps its row, and goes on from there when it comes back; delete the row to let it begin anew.';
COMMENT ON COLUMN penstock.alert_feed.name IS 'The feed''s name.';
COMMENT ON COLUMN penstock.alert_feed.type IS 'jsonl, syslog, webhook or zeromq.';
COMMENT ON COLUMN penstock.alert_feed.event_id IS 'It is done with all states up to this one of penstock.alert_event.';
COMMENT ON COLUMN penstock.alert_feed.created_at IS 'When the feed began.';
COMMENT ON COLUMN penstock.alert_feed.updated_at IS 'When this row last changed.';
COMMENT ON COLUMN penstock.alert_feed.sent IS 'States that its receiver has taken, repeats after a failure included.';
COMMENT ON COLUMN penstock.alert_feed.skipped IS 'States that its receiver refused for good; each is in the collector''s log.';
COMMENT ON COLUMN penstock.alert_feed.failing_since IS 'Since when its receiver takes nothing; NULL: it works.';
COMMENT ON COLUMN penstock.alert_feed.last_error IS 'Why it failed last; also after it was back.';

CREATE VIEW penstock.alert_feed_lag AS
    SELECT f.name, f.type, w.waiting, now() - w.oldest AS behind, f.failing_since, f.last_error, f.event_id,
           f.sent, f.skipped
    FROM penstock.alert_feed AS f
    CROSS JOIN LATERAL (SELECT count(*) AS waiting, min(e.at) AS oldest FROM penstock.alert_event AS e
                        WHERE e.event_id > f.event_id) AS w;
COMMENT ON VIEW penstock.alert_feed_lag IS 'How far each feed is behind, and why.';
COMMENT ON COLUMN penstock.alert_feed_lag.name IS 'The feed''s name.';
COMMENT ON COLUMN penstock.alert_feed_lag.type IS 'jsonl, syslog, webhook or zeromq.';
COMMENT ON COLUMN penstock.alert_feed_lag.waiting IS 'States that it has not looked at yet, also those that it will not want.';
COMMENT ON COLUMN penstock.alert_feed_lag.behind IS 'Age of the oldest of them; NULL: none waits.';
COMMENT ON COLUMN penstock.alert_feed_lag.failing_since IS 'Since when its receiver takes nothing; NULL: it works.';
COMMENT ON COLUMN penstock.alert_feed_lag.last_error IS 'Why it failed last; also after it was back.';
COMMENT ON COLUMN penstock.alert_feed_lag.event_id IS 'It is done with all states up to this one.';
COMMENT ON COLUMN penstock.alert_feed_lag.sent IS 'States that its receiver has taken.';
COMMENT ON COLUMN penstock.alert_feed_lag.skipped IS 'States that its receiver refused for good.';

INSERT INTO penstock.role_grant (role, object, privileges) VALUES
    ('penstock_collector', 'alert_feed', 'SELECT, INSERT, UPDATE'),
    ('penstock_reader', 'alert_feed', 'SELECT'),
    ('penstock_reader', 'alert_feed_lag', 'SELECT'),
    ('penstock_operator', 'alert_feed', 'DELETE');
