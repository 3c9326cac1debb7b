-- Fails attempts that are past their deadline by the grace: their worker lives
-- but does not end them. Such a failure counts like any other.
CREATE OR REPLACE FUNCTION penstock.fail_overdue(grace interval DEFAULT '30 seconds') RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r WHERE r.deadline < clock_timestamp() - grace
        FOR UPDATE SKIP LOCKED),
        'failed', 'Timeout', 'not ended by its deadline')
$$;
