-- Records that these tokens were used so long ago. Servers send it from time to time.
CREATE OR REPLACE FUNCTION penstock.record_token_uses(ids text[], ages interval[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    UPDATE penstock.api_tokens t SET last_used_at = greatest(t.last_used_at, clock_timestamp() - u.age)
    FROM (SELECT i.id, i.age FROM unnest(record_token_uses.ids, record_token_uses.ages) i(id, age) ORDER BY i.id) u
    WHERE t.id = u.id
$$;
