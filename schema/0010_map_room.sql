-- Room for new versions beside the old ones. A transaction may touch every entry of the map, and an entry
-- that finds no room on its page moves: into four index entries anew, while table and indexes grow. With
-- half of each page free an update stays on its page and touches no index (measured: docs/benchmarks.md,
-- "Delivery"). Pages that are full already empty as their entries are updated.
ALTER TABLE penstock.ingress_entry SET (fillfactor = 50);
