-- Trigger: writes a change of an API token into the audit log, without its secrets.
CREATE OR REPLACE FUNCTION penstock.audit_token() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN token_facts(OLD) END;
    is_ CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN token_facts(NEW) END;
BEGIN
    IF was IS DISTINCT FROM is_ THEN
        PERFORM audit('api_tokens.' || lower(TG_OP), NULL, was, is_);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.api_tokens
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_token();
