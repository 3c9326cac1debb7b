-- Fails attempts that are past their deadline by more than grace: their worker is alive but
-- does not end them. Such a failure counts like any other.
-- It reads all of running, which is small. Locks: the overdue rows, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.fail_overdue(grace interval DEFAULT '30 seconds') RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.end_running(ARRAY(SELECT r FROM penstock.running r WHERE r.deadline < clock_timestamp() - grace
        FOR UPDATE SKIP LOCKED),
        'failed', 'Timeout', 'not ended by its deadline')
$$;
