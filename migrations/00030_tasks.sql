-- Scheduled tasks: what the database needs done by the clock, as rows that any
-- number of servers and workers claim (SKIP LOCKED); there is no leader. The
-- schedule is read by the runner (internal/maintain), which also works out the next
-- tick; whether one is due is the database's clock's word alone.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.scheduled_tasks (
    name                 text PRIMARY KEY,
    description          text        NOT NULL,
    schedule             text        NOT NULL CHECK (length(schedule) BETWEEN 1 AND 200),
    time_zone            text        NOT NULL DEFAULT 'UTC' CHECK (length(time_zone) BETWEEN 1 AND 64),
    paused               boolean     NOT NULL DEFAULT false,
    settings             jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    limits               jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    next_run_at          timestamptz,
    asked_at             timestamptz,
    attempt              bigint      NOT NULL DEFAULT 0,
    runner               text,
    started_at           timestamptz,
    lease_until          timestamptz,
    finished_at          timestamptz,
    duration             interval,
    outcome              text CHECK (outcome IN ('completed', 'failed', 'released', 'lost')),
    result               jsonb,
    error                text,
    succeeded_at         timestamptz,
    consecutive_failures integer     NOT NULL DEFAULT 0,
    runs                 bigint      NOT NULL DEFAULT 0,
    failures             bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE penstock.scheduled_tasks IS 'schedule is a cron expression (5 fields, or 6 with seconds first) or @every DURATION.';
COMMENT ON COLUMN penstock.scheduled_tasks.limits IS 'Per setting: its least, most and unit.';
COMMENT ON COLUMN penstock.scheduled_tasks.next_run_at IS 'The next tick, or the next try after a failure. Null: the next runner that looks works it out.';
COMMENT ON COLUMN penstock.scheduled_tasks.asked_at IS 'A run was asked for by hand and has not been made yet.';
COMMENT ON COLUMN penstock.scheduled_tasks.attempt IS 'Counts claims: the token without which a run is not recorded.';
COMMENT ON COLUMN penstock.scheduled_tasks.lease_until IS 'Set while it runs. A runner that does not extend it is dead, and the run is made again.';

CREATE TABLE penstock.task_runs (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task        text        NOT NULL,
    attempt     bigint      NOT NULL,
    due_at      timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('completed', 'failed', 'released', 'lost')),
    runner      text        NOT NULL,
    result      jsonb,
    error       text,
    UNIQUE (task, attempt)
);
COMMENT ON COLUMN penstock.task_runs.due_at IS 'The tick it was made for, or the try after a failure; null when it was asked for by hand.';
CREATE INDEX task_runs_newest ON penstock.task_runs (task, id DESC);
CREATE INDEX task_runs_finished ON penstock.task_runs (finished_at);

INSERT INTO penstock.scheduled_tasks (name, description, schedule, settings, limits) VALUES
    ('dlq-retries', 'Redrives the dead jobs whose time has come.', '* * * * *', '{}', '{}'),
    ('dlq-purge', 'Purges the dead jobs that are past the retention of their queue.', '0 2 * * *', '{}', '{}'),
    ('metrics-sample', 'Adds up what was enqueued and what ended, and looks at the state of the queues.', '*/10 * * * * *', '{}', '{}'),
    ('metrics-rollup', 'Sums up the hours and days that are over.', '*/10 * * * *', '{}', '{}'),
    ('metrics-cleanup', 'Deletes the metric samples that are kept no longer.', '5 * * * *', '{}', '{}'),
    ('partitions', 'Makes the partitions of the coming days, and drops those past retention.', '0 * * * *',
     '{"daysAhead": 7}', '{"daysAhead": {"least": 1, "most": 366, "unit": "days"}}'),
    ('prune', 'Forgets expired idempotency keys, old departures and old runs of tasks.', '* * * * *',
     '{"taskRuns": 259200000}', '{"taskRuns": {"least": 3600000, "most": 31622400000, "unit": "ms"}}');

COMMENT ON TABLE penstock.dead_policies IS
    'A retryable entry of generation g is redriven by itself after delay x multiplier^g while g < max_generations (0: never); entries older than retention are purged by the next run of the task dlq-purge.';

-- +goose StatementBegin
-- Only what somebody decides is a change of settings; that a task ran is not.
CREATE FUNCTION penstock.audit_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
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
-- +goose StatementEnd
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF name, schedule, time_zone, paused, settings
    ON penstock.scheduled_tasks FOR EACH ROW EXECUTE FUNCTION penstock.audit_task();

-- +goose StatementBegin
-- The wait after so many failures in a row: 10 seconds, doubled each time, at most an hour.
CREATE FUNCTION penstock.task_backoff(failures integer) RETURNS interval
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN failures < 1 THEN interval '0'
        ELSE least(interval '10 seconds' * power(2, least(failures, 20) - 1), interval '1 hour') END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Claims one task of those known to the runner that is due, or was asked for, and
-- that nobody runs; returns its row, or none. started_at is the moment of the claim,
-- from which the runner works out the next tick: however many were missed, they are
-- one run. A lease that ran out is a run lost with its runner; it is made again, and
-- after ever longer waits, so that a task which kills its process leaves some alive.
CREATE FUNCTION penstock.claim_task(known text[], runner text, lease interval DEFAULT '30 seconds')
RETURNS SETOF penstock.scheduled_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    t      scheduled_tasks;
BEGIN
    IF claim_task.lease IS NULL OR claim_task.lease NOT BETWEEN '1 second' AND '1 hour' THEN
        PERFORM refuse('lease', '1 second to 1 hour', claim_task.lease::text);
    END IF;
    SELECT c.* INTO t FROM scheduled_tasks c
    WHERE c.name = ANY (claim_task.known)
      AND (c.lease_until IS NULL OR c.lease_until + task_backoff(c.consecutive_failures) <= moment)
      AND (c.asked_at IS NOT NULL OR NOT c.paused AND c.next_run_at <= moment)
    ORDER BY c.asked_at IS NULL, c.next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN;
    END IF;
    IF t.lease_until IS NOT NULL THEN
        PERFORM note_run(t, 'lost', NULL, 'the process that ran it ended or stood still', moment);
    END IF;
    RETURN QUERY UPDATE scheduled_tasks c SET attempt = c.attempt + 1, runner = left(coalesce(claim_task.runner, ''), 255),
        started_at = moment, lease_until = moment + claim_task.lease
    WHERE c.name = t.name RETURNING c.*;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Writes how the latest run of a task ended, in its row and in the history.
CREATE FUNCTION penstock.note_run(t penstock.scheduled_tasks, outcome text, result jsonb, error text, moment timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    failed CONSTANT boolean := note_run.outcome IN ('failed', 'lost');
    done   CONSTANT boolean := note_run.outcome = 'completed';
BEGIN
    INSERT INTO task_runs (task, attempt, due_at, started_at, finished_at, outcome, runner, result, error)
    VALUES (t.name, t.attempt, CASE WHEN t.next_run_at <= t.started_at AND NOT t.paused THEN t.next_run_at END, t.started_at, moment,
        note_run.outcome, coalesce(t.runner, ''), note_run.result, left(note_run.error, 4000));
    UPDATE scheduled_tasks c SET lease_until = NULL, finished_at = moment,
        duration = moment - t.started_at, outcome = note_run.outcome,
        result = note_run.result, error = left(note_run.error, 4000),
        succeeded_at = CASE WHEN done THEN moment ELSE c.succeeded_at END,
        consecutive_failures = CASE WHEN done THEN 0 WHEN failed THEN least(c.consecutive_failures, 1000000) + 1
            ELSE c.consecutive_failures END,
        runs = c.runs + 1, failures = c.failures + failed::integer
    WHERE c.name = t.name;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Keeps a run's lease alive; false when the run is no longer the caller's.
CREATE FUNCTION penstock.extend_task(task text, attempt bigint, lease interval DEFAULT '30 seconds') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE scheduled_tasks c SET lease_until = clock_timestamp() + least(extend_task.lease, '1 hour')
    WHERE c.name = extend_task.task AND c.attempt = extend_task.attempt AND c.lease_until IS NOT NULL;
    RETURN found;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Records how a run ended: completed, failed, or released (its runner stops; it is
-- made again at once). next_run_at is the first tick after the claim by the schedule
-- and time zone given; where these were changed meanwhile, the change's plan stays. A
-- failed run is tried again before that: 10 seconds later, doubled with every
-- failure in a row, at most an hour. False when the run is no longer the caller's.
CREATE FUNCTION penstock.finish_task(task text, attempt bigint, outcome text, result jsonb, error text,
    schedule text, time_zone text, next_run_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    t      scheduled_tasks;
BEGIN
    IF finish_task.outcome IS NULL OR finish_task.outcome NOT IN ('completed', 'failed', 'released') THEN
        PERFORM refuse('outcome', 'completed, failed or released', finish_task.outcome);
    END IF;
    SELECT c.* INTO t FROM scheduled_tasks c WHERE c.name = finish_task.task FOR UPDATE;
    IF t.attempt IS DISTINCT FROM finish_task.attempt OR t.lease_until IS NULL THEN
        RETURN false;
    END IF;
    PERFORM note_run(t, finish_task.outcome, finish_task.result, finish_task.error, moment);
    IF finish_task.outcome = 'released' THEN
        RETURN true;
    END IF;
    UPDATE scheduled_tasks c SET
        asked_at = CASE WHEN c.asked_at > c.started_at THEN c.asked_at END,
        next_run_at = CASE
            WHEN c.next_run_at > c.started_at OR c.next_run_at IS NULL -- asked for between two ticks, or planned anew
              OR c.schedule IS DISTINCT FROM finish_task.schedule OR c.time_zone IS DISTINCT FROM finish_task.time_zone THEN c.next_run_at
            WHEN finish_task.outcome = 'failed' THEN least(finish_task.next_run_at, moment + task_backoff(c.consecutive_failures))
            ELSE finish_task.next_run_at END
    WHERE c.name = t.name;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sets the next tick of a task that has none, if its schedule and time zone are
-- still those it was worked out from; or says why there is none (problem). Returns
-- whether anything changed.
CREATE FUNCTION penstock.plan_task(task text, schedule text, time_zone text, next_run_at timestamptz, problem text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE scheduled_tasks c SET next_run_at = plan_task.next_run_at,
        error = coalesce(left(plan_task.problem, 4000), c.error),
        consecutive_failures = CASE WHEN plan_task.problem IS NULL THEN c.consecutive_failures
            ELSE greatest(c.consecutive_failures, 1) END
    WHERE c.name = plan_task.task AND c.schedule = plan_task.schedule AND c.time_zone = plan_task.time_zone
      AND c.next_run_at IS NULL AND (plan_task.next_run_at IS NOT NULL OR c.error IS DISTINCT FROM plan_task.problem);
    RETURN found;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Changes a task; null leaves things as they are, and settings holds only those to
-- change. A new schedule or time zone, and a resume, count from now on: ticks that
-- went by before are not made up for. Returns false when there is no such task.
-- Whether the schedule can be read is for the runner to say: see plan_task.
CREATE FUNCTION penstock.set_task(task text, schedule text DEFAULT NULL, time_zone text DEFAULT NULL,
    paused boolean DEFAULT NULL, settings jsonb DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    t   scheduled_tasks;
    one record;
BEGIN
    SELECT c.* INTO t FROM scheduled_tasks c WHERE c.name = set_task.task FOR UPDATE;
    IF NOT found THEN
        RETURN false;
    END IF;
    IF set_task.schedule !~ '^[ -~]{1,200}$' THEN
        PERFORM refuse('schedule', 'a cron expression of up to 200 characters', set_task.schedule);
    ELSIF set_task.time_zone !~ '^[A-Za-z0-9_+/-]{1,64}$' THEN
        PERFORM refuse('time_zone', 'a name such as UTC or Europe/Berlin', set_task.time_zone);
    ELSIF jsonb_typeof(set_task.settings) <> 'object' THEN
        PERFORM refuse('settings', 'a JSON object', set_task.settings::text);
    END IF;
    FOR one IN SELECT s.key, s.value, t.limits -> s.key AS bound FROM jsonb_each(set_task.settings) s LOOP
        IF one.bound IS NULL THEN
            PERFORM refuse('settings', coalesce((SELECT 'of ' || string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(t.limits) k),
                'left out: this task has none'), one.key);
        ELSIF (CASE jsonb_typeof(one.value) WHEN 'number' THEN one.value::numeric % 1 <> 0
            OR one.value::numeric NOT BETWEEN (one.bound ->> 'least')::numeric AND (one.bound ->> 'most')::numeric ELSE true END) THEN
            PERFORM refuse('settings.' || one.key, format('a whole number from %s to %s (%s)', one.bound ->> 'least',
                one.bound ->> 'most', one.bound ->> 'unit'), one.value::text);
        END IF;
    END LOOP;
    UPDATE scheduled_tasks c SET schedule = coalesce(set_task.schedule, c.schedule),
        time_zone = coalesce(set_task.time_zone, c.time_zone), paused = coalesce(set_task.paused, c.paused),
        settings = c.settings || coalesce(set_task.settings, '{}'),
        next_run_at = CASE WHEN set_task.schedule <> c.schedule OR set_task.time_zone <> c.time_zone
            OR c.paused AND NOT set_task.paused THEN NULL ELSE c.next_run_at END
    WHERE c.name = t.name;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Asks for a run of a task now, paused or not; one that is under way already does
-- not count. Returns the moment, from which on the run starts; null when there is no
-- such task.
CREATE FUNCTION penstock.run_task(task text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    UPDATE scheduled_tasks c SET asked_at = moment WHERE c.name = run_task.task;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    PERFORM audit('scheduled_tasks.run', NULL, NULL, jsonb_build_object('name', run_task.task));
    RETURN moment;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets runs of tasks that ended longer ago than this; returns how many.
CREATE FUNCTION penstock.prune_task_runs(older_than interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM task_runs r WHERE r.finished_at < clock_timestamp() - older_than;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
COMMENT ON TABLE penstock.dead_policies IS
    'A retryable entry of generation g is redriven by itself after delay x multiplier^g while g < max_generations (0: never); entries older than retention are purged, within an hour or so.';
DROP FUNCTION penstock.prune_task_runs(interval), penstock.run_task(text),
    penstock.set_task(text, text, text, boolean, jsonb), penstock.plan_task(text, text, text, timestamptz, text),
    penstock.finish_task(text, bigint, text, jsonb, text, text, text, timestamptz),
    penstock.extend_task(text, bigint, interval),
    penstock.note_run(penstock.scheduled_tasks, text, jsonb, text, timestamptz),
    penstock.claim_task(text[], text, interval), penstock.task_backoff(integer);
DROP TABLE penstock.task_runs, penstock.scheduled_tasks;
DROP FUNCTION penstock.audit_task();
