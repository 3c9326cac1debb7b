-- Who changed what: settings by triggers, so that no road around the verbs goes
-- unseen, and bulk operations by their own word. Append-only.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.audit_log (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text        NOT NULL,
    db_user text        NOT NULL DEFAULT session_user,
    action  text        NOT NULL,
    queue   text,
    before  jsonb,
    after   jsonb
);
CREATE INDEX audit_log_queue ON penstock.audit_log (queue, id DESC);
COMMENT ON COLUMN penstock.audit_log.actor IS 'penstock.actor of the session (set_config) when set, else the database user.';
COMMENT ON COLUMN penstock.audit_log.action IS 'A table and what happened to its row (queues.update), or a verb (dead_jobs.purge).';

-- +goose StatementBegin
-- On whose behalf the session acts: penstock.actor when set, else the database user.
CREATE FUNCTION penstock.actor() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT left(coalesce(nullif(current_setting('penstock.actor', true), ''), session_user), 128)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Writes one line of the audit log, as the actor the session names.
CREATE FUNCTION penstock.audit(action text, queue text, before jsonb, after jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    INSERT INTO penstock.audit_log (actor, action, queue, before, after)
    VALUES (penstock.actor(),
        audit.action, audit.queue, audit.before, audit.after)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.audit_setting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    is_ CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF was IS DISTINCT FROM is_ THEN
        PERFORM audit(TG_TABLE_NAME || '.' || lower(TG_OP), coalesce(is_, was) ->> 'queue', was, is_);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.refuse_rewriting() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'PN403';
END $$;
-- +goose StatementEnd

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON penstock.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION penstock.refuse_rewriting();

-- +goose StatementBegin
DO $$
DECLARE
    setting text;
BEGIN
    FOREACH setting IN ARRAY ARRAY['queues', 'settings', 'retry_policies', 'priority_levels', 'priority_rules',
        'priority_tags', 'breakers'] LOOP
        EXECUTE format('CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.%I
            FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting()', setting);
    END LOOP;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    setting text;
BEGIN
    FOREACH setting IN ARRAY ARRAY['queues', 'settings', 'retry_policies', 'priority_levels', 'priority_rules',
        'priority_tags', 'breakers'] LOOP
        EXECUTE format('DROP TRIGGER audited ON penstock.%I', setting);
    END LOOP;
END $$;
-- +goose StatementEnd
DROP TABLE penstock.audit_log;
DROP FUNCTION penstock.refuse_rewriting(), penstock.audit_setting(), penstock.audit(text, text, jsonb, jsonb), penstock.actor();
