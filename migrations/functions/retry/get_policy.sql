-- Returns the policy that retries a failing job of this queue and name, with every field filled.
-- retry is what the job brought of its own.
CREATE OR REPLACE FUNCTION penstock.get_policy(queue text, name text DEFAULT '*', retry jsonb DEFAULT NULL)
RETURNS SETOF penstock.retry_policies
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT * FROM penstock.effective_policy(get_policy.queue, get_policy.name, penstock.check_retry(get_policy.retry))
$$;
