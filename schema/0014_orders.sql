-- Orders: which prefix is to be tested where, who asked for it, and what became of it.
DO $$ BEGIN END $$;
