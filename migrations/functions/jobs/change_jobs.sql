-- Changes every job that satisfies a filter among at most max_scanned: cancel, run_now,
-- reprioritize (argument: the priority) or reschedule (argument: the time). It returns how many it
-- changed, and the audit log records it.
CREATE OR REPLACE FUNCTION penstock.change_jobs(action text, filter jsonb, argument text DEFAULT NULL, before_id bigint DEFAULT NULL,
    max_rows integer DEFAULT 1000, max_scanned integer DEFAULT 10000,
    OUT changed integer, OUT more boolean, OUT last_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    page record;
    one  bigint;
    due  timestamptz;
BEGIN
    IF action IS NULL OR action NOT IN ('cancel', 'run_now', 'reprioritize', 'reschedule') THEN
        PERFORM refuse('action', 'cancel, run_now, reprioritize or reschedule', action);
    ELSIF filter IS NULL THEN -- missing, not empty
        PERFORM refuse('filter', 'a JSON object; {} is every job', NULL);
    ELSIF action = 'reprioritize' THEN
        PERFORM priority_weight(coalesce(to_jsonb(argument), '""'));
    ELSIF action = 'reschedule' THEN
        BEGIN
            due := argument::timestamptz;
        EXCEPTION WHEN data_exception THEN
            due := NULL;
        END;
        IF due IS NULL THEN
            PERFORM refuse('argument', 'a timestamp such as 2026-01-31T12:00:00Z', argument);
        END IF;
    END IF;
    SELECT * INTO page FROM find_jobs(filter, before_id, max_rows, max_scanned);
    changed := 0;
    -- In the order in which finish locks rows of running, so that they cannot deadlock.
    FOR one IN SELECT u.id FROM unnest(page.ids) u(id) ORDER BY u.id LOOP
        changed := changed + CASE action
            WHEN 'cancel' THEN (coalesce(cancel(one), '') IN ('cancelled', 'cancelling'))::integer
            WHEN 'run_now' THEN reschedule(one)::integer
            WHEN 'reprioritize' THEN reprioritize(one, argument)::integer
            ELSE reschedule(one, due)::integer END;
    END LOOP;
    more := page.more;
    last_id := page.last_id;
    IF changed > 0 THEN
        PERFORM audit('jobs.' || action, filter ->> 'queue', NULL, jsonb_build_object('filter', filter, 'argument', argument, 'jobs', changed));
    END IF;
END $$;
