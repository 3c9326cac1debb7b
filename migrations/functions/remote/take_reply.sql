-- Takes an idempotency key of HTTP for this transaction and returns the reply that is stored for
-- it, if any. While another transaction has the key, the call is refused at once: two requests
-- that wait for each other's key would each occupy a connection.
CREATE OR REPLACE FUNCTION penstock.take_reply(caller text, key text) RETURNS SETOF penstock.replies
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF length(take_reply.key) NOT BETWEEN 1 AND 256 THEN
        PERFORM refuse('idempotency_key', '1 to 256 characters', take_reply.key);
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended(take_reply.caller || E'\n' || take_reply.key, x'70656e73'::bigint)) THEN
        RAISE EXCEPTION 'the first request with this idempotency key is still under way' USING ERRCODE = 'PN412';
    END IF;
    -- A new statement, so it sees what the transaction before committed.
    RETURN QUERY SELECT r.* FROM replies r
        WHERE r.caller = take_reply.caller AND r.key = take_reply.key AND r.until > clock_timestamp();
END $$;
