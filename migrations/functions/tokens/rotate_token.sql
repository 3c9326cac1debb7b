-- Gives a token, found by its id, a new secret. The secret before it stays valid for overlap; older
-- ones do not. False if there is no such token, or it is revoked or expired.
CREATE OR REPLACE FUNCTION penstock.rotate_token(id text, secret bytea, overlap interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF overlap NOT BETWEEN interval '0' AND interval '90 days' THEN
        PERFORM refuse('overlap', 'from 0 to 90 days', overlap::text);
    END IF;
    UPDATE api_tokens t SET secret = rotate_token.secret, old_secret = t.secret, old_until = moment + overlap, rotated_at = moment
    WHERE t.id = rotate_token.id AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > moment);
    RETURN FOUND;
END $$;
