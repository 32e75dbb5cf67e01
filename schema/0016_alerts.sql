-- Alerts by rules: kinds, states over time, maintenance windows.
DO $$ BEGIN END $$;
