-- Returns what the audit log keeps of a token: never a hash, nor when it was last used.
CREATE OR REPLACE FUNCTION penstock.token_facts(t penstock.api_tokens) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(t) - 'secret' - 'old_secret' - 'last_used_at'
$$;
