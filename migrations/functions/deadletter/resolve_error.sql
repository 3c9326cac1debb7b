-- Marks an error group as resolved, or as open. A group with a later death is open again.
CREATE OR REPLACE FUNCTION penstock.resolve_error(queue text, fingerprint text, resolved boolean DEFAULT true) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM dead_jobs d WHERE d.queue = resolve_error.queue AND d.fingerprint = resolve_error.fingerprint) THEN
        RETURN false;
    END IF;
    PERFORM audit('error_groups.' || CASE WHEN resolved THEN 'resolve' ELSE 'reopen' END, resolve_error.queue, NULL,
        jsonb_build_object('fingerprint', resolve_error.fingerprint));
    IF resolved THEN
        INSERT INTO resolved_errors VALUES (resolve_error.queue, resolve_error.fingerprint, clock_timestamp(),
            actor())
        ON CONFLICT (queue, fingerprint) DO UPDATE SET resolved_at = excluded.resolved_at, actor = excluded.actor;
    ELSE
        DELETE FROM resolved_errors r WHERE r.queue = resolve_error.queue AND r.fingerprint = resolve_error.fingerprint;
    END IF;
    RETURN true;
END $$;
