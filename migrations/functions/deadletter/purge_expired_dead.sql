-- Purges dead jobs that are older than the retention of their queue, one batch of each queue, and
-- returns how many; call it until it returns 0.
CREATE OR REPLACE FUNCTION penstock.purge_expired_dead(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    one  record;
    gone integer := 0;
BEGIN
    FOR one IN
        SELECT d.queue, coalesce(q.retention, every.retention) AS retention
        FROM (SELECT DISTINCT d.queue FROM dead_jobs d) d
        LEFT JOIN dead_policies q ON q.queue = d.queue, dead_policies every WHERE every.queue = '*'
    LOOP
        gone := gone + purge_dead(one.queue, one.retention, '{}', max_jobs);
    END LOOP;
    RETURN gone;
END $$;
