-- Trigger: refuses every change of the audit log but an insert.
CREATE OR REPLACE FUNCTION penstock.refuse_rewriting() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'PN403';
END $$;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON penstock.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION penstock.refuse_rewriting();
