-- Feeds: how far each has told the alerts.
DO $$ BEGIN END $$;
