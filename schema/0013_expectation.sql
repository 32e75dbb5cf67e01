-- Expectation: what operators, BGP, RPKI and the map's own past say about where traffic should enter.
DO $$ BEGIN END $$;
