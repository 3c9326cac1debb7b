-- Returns how many jobs a tally adds to those that wait or run.
CREATE OR REPLACE FUNCTION penstock.jobs_gained(t penstock.tallies) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t.outcome = 'enqueued' THEN t.jobs
        WHEN t.dead OR t.outcome IN ('completed', 'cancelled', 'expired') THEN -t.jobs ELSE 0 END
$$;
