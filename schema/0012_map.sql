-- The map that adapts: counters behind it, its history, and how long things are kept.
DO $$ BEGIN END $$;
