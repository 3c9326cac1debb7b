-- Writes one line of the audit log, with the actor of the session.
CREATE OR REPLACE FUNCTION penstock.audit(action text, queue text, before jsonb, after jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    INSERT INTO penstock.audit_log (actor, action, queue, before, after)
    VALUES (penstock.actor(),
        audit.action, audit.queue, audit.before, audit.after)
$$;
