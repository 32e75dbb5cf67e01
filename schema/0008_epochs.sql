-- A placeholder for the step of the epochs, to be dropped when that is merged.
SELECT 8;
