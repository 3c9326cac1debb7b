-- Trigger: writes a change of a scheduled task into the audit log. Only decisions count: the columns
-- that runs change are left out.
CREATE OR REPLACE FUNCTION penstock.audit_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN jsonb_build_object('name', OLD.name, 'schedule', OLD.schedule,
        'time_zone', OLD.time_zone, 'paused', OLD.paused, 'settings', OLD.settings) END;
    is_ CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN jsonb_build_object('name', NEW.name, 'schedule', NEW.schedule,
        'time_zone', NEW.time_zone, 'paused', NEW.paused, 'settings', NEW.settings) END;
BEGIN
    IF was IS DISTINCT FROM is_ THEN
        PERFORM audit(TG_TABLE_NAME || '.' || lower(TG_OP), NULL, was, is_);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF name, schedule, time_zone, paused, settings
    ON penstock.scheduled_tasks FOR EACH ROW EXECUTE FUNCTION penstock.audit_task();
