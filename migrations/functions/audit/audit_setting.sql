-- Trigger: writes a change of a setting into the audit log, with the row before and after.
CREATE OR REPLACE FUNCTION penstock.audit_setting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    is_ CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF was IS DISTINCT FROM is_ THEN
        PERFORM audit(TG_TABLE_NAME || '.' || lower(TG_OP), coalesce(is_, was) ->> 'queue', was, is_);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.dead_policies
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.health_thresholds
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.queues
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.settings
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.retry_policies
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.priority_levels
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.priority_rules
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.priority_tags
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.breakers
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();
