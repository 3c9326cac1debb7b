-- Pauses, resumes or cancels a redrive and returns its state, null if it is unknown. A stopped one
-- cannot go on while another redrive of its queue is under way (PN412).
CREATE OR REPLACE FUNCTION penstock.control_redrive(id bigint, action text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    is_   text;
    other bigint;
BEGIN
    IF action IS NULL OR action NOT IN ('pause', 'resume', 'cancel') THEN
        PERFORM refuse('action', 'pause, resume or cancel', action);
    ELSIF action <> 'cancel' THEN
        PERFORM pg_advisory_xact_lock(hashtext('penstock redrive'), hashtext(r.queue)) FROM redrives r WHERE r.id = control_redrive.id;
        SELECT o.id INTO other FROM redrives r JOIN redrives o ON o.queue = r.queue AND o.state IN ('running', 'paused')
        WHERE r.id = control_redrive.id AND r.state = 'stopped';
        IF found THEN
            RAISE EXCEPTION 'redrive % of the same queue is under way', other
                USING ERRCODE = 'PN412', HINT = 'Wait for it, or cancel it.';
        END IF;
    END IF;
    UPDATE redrives r SET
        state = CASE action WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'running' ELSE 'cancelled' END,
        finished_at = CASE action WHEN 'cancel' THEN clock_timestamp() END,
        -- A stopped one continues without its canary: an operator has decided so.
        canary = CASE WHEN r.state = 'stopped' THEN 0 ELSE r.canary END, moved_at = clock_timestamp()
    WHERE r.id = control_redrive.id AND r.state IN ('running', 'paused', 'stopped');
    IF found THEN
        PERFORM audit('redrives.' || action, r.queue, NULL, jsonb_build_object('id', r.id)) FROM redrives r WHERE r.id = control_redrive.id;
    END IF;
    SELECT r.state INTO is_ FROM redrives r WHERE r.id = control_redrive.id;
    RETURN is_;
END $$;
