-- Revokes a token for good. False if there is no such token or it was revoked before.
CREATE OR REPLACE FUNCTION penstock.revoke_token(id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE api_tokens t SET revoked_at = clock_timestamp() WHERE t.id = revoke_token.id AND t.revoked_at IS NULL;
    RETURN FOUND;
END $$;
