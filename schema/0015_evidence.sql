-- Evidence that ages: the numbers behind a state.
DO $$ BEGIN END $$;
