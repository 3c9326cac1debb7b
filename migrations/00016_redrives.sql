-- Redriving many: a durable operation that any server carries on, a batch at a
-- time, at a rate, after a canary.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.redrives (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue          text        NOT NULL,
    filter         jsonb       NOT NULL,
    state          text        NOT NULL CHECK (state IN ('running', 'paused', 'done', 'cancelled', 'stopped')),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_by     text        NOT NULL,
    died_before    timestamptz NOT NULL DEFAULT clock_timestamp(),
    rate           integer     NOT NULL CHECK (rate BETWEEN 1 AND 100000),
    max_generation smallint    NOT NULL CHECK (max_generation BETWEEN 1 AND 100),
    canary         integer     NOT NULL CHECK (canary BETWEEN 0 AND 1000),
    canary_share   float8      NOT NULL CHECK (canary_share > 0 AND canary_share <= 1),
    canary_ids     bigint[]    NOT NULL DEFAULT '{}',
    total          bigint      NOT NULL,
    redriven       bigint      NOT NULL DEFAULT 0,
    passed_over    bigint      NOT NULL DEFAULT 0,
    cursor_at      timestamptz,
    cursor_id      bigint,
    moved_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    note           text
);
CREATE INDEX redrives_under_way ON penstock.redrives (id) WHERE state = 'running';
COMMENT ON COLUMN penstock.redrives.died_before IS 'Only what was dead when it began: what dies again meanwhile stays.';
COMMENT ON COLUMN penstock.redrives.rate IS 'Jobs per second at most.';
COMMENT ON COLUMN penstock.redrives.canary IS 'So many go first; the rest follow when they have ended and fewer than canary_share of them died of one error.';

-- +goose StatementBegin
-- How many dead jobs of a queue a filter finds, up to most; and some of their ids.
CREATE FUNCTION penstock.count_dead(queue text, filter jsonb, most integer DEFAULT 1000000,
    OUT jobs bigint, OUT sample bigint[], OUT capped boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    page      record;
    before_at timestamptz;
    before_id bigint;
BEGIN
    jobs := 0;
    sample := '{}';
    LOOP
        SELECT * INTO page FROM find_dead(count_dead.queue, filter, before_at, before_id, 10000, 10000);
        jobs := jobs + cardinality(page.ids);
        IF cardinality(sample) < 10 THEN
            sample := (sample || page.ids)[1:10];
        END IF;
        EXIT WHEN NOT page.more OR jobs >= most;
        before_at := page.last_at;
        before_id := page.last_id;
    END LOOP;
    capped := page.more;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Begins to redrive the dead jobs of a queue that a filter finds and returns the
-- operation's id. Refused while another of the queue runs or is paused.
CREATE FUNCTION penstock.start_redrive(queue text, filter jsonb DEFAULT '{}', rate integer DEFAULT 1000,
    canary integer DEFAULT 0, canary_share float8 DEFAULT 0.5, max_generation integer DEFAULT 10) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    fresh bigint;
    other bigint;
BEGIN
    PERFORM check_name('queue', start_redrive.queue);
    IF start_redrive.rate IS NULL OR start_redrive.rate NOT BETWEEN 1 AND 100000 THEN
        PERFORM refuse('rate', '1 to 100000 jobs per second', start_redrive.rate::text);
    ELSIF start_redrive.canary IS NULL OR start_redrive.canary NOT BETWEEN 0 AND 1000 THEN
        PERFORM refuse('canary', '0 to 1000 jobs', start_redrive.canary::text);
    ELSIF start_redrive.canary_share IS NULL OR NOT start_redrive.canary_share BETWEEN 0.000001 AND 1 THEN
        PERFORM refuse('canary_share', 'above 0 and at most 1', start_redrive.canary_share::text);
    ELSIF start_redrive.max_generation IS NULL OR start_redrive.max_generation NOT BETWEEN 1 AND 100 THEN
        PERFORM refuse('max_generation', '1 to 100', start_redrive.max_generation::text);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('penstock redrive'), hashtext(start_redrive.queue));
    SELECT r.id INTO other FROM redrives r WHERE r.queue = start_redrive.queue AND r.state IN ('running', 'paused');
    IF found THEN
        RAISE EXCEPTION 'redrive % of queue % is under way', other, start_redrive.queue
            USING ERRCODE = 'PN412', HINT = 'Wait for it, or cancel it.';
    END IF;
    INSERT INTO redrives (queue, filter, state, started_by, rate, canary, canary_share, max_generation, total)
    SELECT start_redrive.queue, check_filter(start_redrive.filter, '{reason,class,fingerprint,name,tag}',
            '{failedFrom,failedTo}', '{canRetry}'), 'running',
        actor(), start_redrive.rate,
        start_redrive.canary, start_redrive.canary_share, start_redrive.max_generation, c.jobs
    FROM count_dead(start_redrive.queue, start_redrive.filter) c
    RETURNING id INTO fresh;
    PERFORM audit('redrives.start', start_redrive.queue, NULL, (SELECT to_jsonb(r) FROM redrives r WHERE r.id = fresh));
    RETURN fresh;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Pauses, resumes or cancels a redrive; returns its state, null for an unknown one.
-- A stopped one cannot go on while another of its queue is under way (PN412).
CREATE FUNCTION penstock.steer_redrive(id bigint, action text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_   text;
    other bigint;
BEGIN
    IF action IS NULL OR action NOT IN ('pause', 'resume', 'cancel') THEN
        PERFORM refuse('action', 'pause, resume or cancel', action);
    ELSIF action <> 'cancel' THEN
        PERFORM pg_advisory_xact_lock(hashtext('penstock redrive'), hashtext(r.queue)) FROM redrives r WHERE r.id = steer_redrive.id;
        SELECT o.id INTO other FROM redrives r JOIN redrives o ON o.queue = r.queue AND o.state IN ('running', 'paused')
        WHERE r.id = steer_redrive.id AND r.state = 'stopped';
        IF found THEN
            RAISE EXCEPTION 'redrive % of the same queue is under way', other
                USING ERRCODE = 'PN412', HINT = 'Wait for it, or cancel it.';
        END IF;
    END IF;
    UPDATE redrives r SET
        state = CASE action WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'running' ELSE 'cancelled' END,
        finished_at = CASE action WHEN 'cancel' THEN clock_timestamp() END,
        -- A stopped one goes on without its canary: somebody has looked.
        canary = CASE WHEN r.state = 'stopped' THEN 0 ELSE r.canary END, moved_at = clock_timestamp()
    WHERE r.id = steer_redrive.id AND r.state IN ('running', 'paused', 'stopped');
    IF found THEN
        PERFORM audit('redrives.' || action, r.queue, NULL, jsonb_build_object('id', r.id)) FROM redrives r WHERE r.id = steer_redrive.id;
    END IF;
    SELECT r.state INTO is_ FROM redrives r WHERE r.id = steer_redrive.id;
    RETURN is_;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Whether a canary may be followed: null while one of its jobs is under way, true
-- when fewer than the share died of one error, else false.
CREATE FUNCTION penstock.canary_passed(r penstock.redrives) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM penstock.pending p WHERE p.job_id = ANY (r.canary_ids) AND p.queue = r.queue)
          OR EXISTS (SELECT FROM penstock.running u WHERE u.job_id = ANY (r.canary_ids) AND u.queue = r.queue) THEN NULL
        ELSE coalesce((SELECT max(g.n) FROM (SELECT count(*) AS n FROM penstock.dead_jobs d
                WHERE d.job_id = ANY (r.canary_ids) AND d.queue = r.queue GROUP BY d.fingerprint) g), 0)
            < r.canary_share * cardinality(r.canary_ids) END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Carries on one redrive that nobody else is carrying on, by a batch its rate
-- allows, and returns how many it redrove; null when there is nothing to do now.
CREATE FUNCTION penstock.advance_redrives() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    r     redrives;
    page  record;
    fresh bigint[];
    room  integer;
    go_on boolean;
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT c.* INTO r FROM redrives c
    WHERE c.state = 'running' AND c.moved_at <= moment - greatest(interval '100 milliseconds', interval '1 second' / c.rate)
    ORDER BY c.moved_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    IF r.canary > 0 AND cardinality(r.canary_ids) > 0 THEN
        go_on := canary_passed(r);
        IF go_on IS NOT TRUE THEN
            UPDATE redrives c SET moved_at = moment, state = CASE WHEN go_on IS NULL THEN 'running' ELSE 'stopped' END,
                finished_at = CASE WHEN go_on IS NULL THEN NULL ELSE moment END,
                note = CASE WHEN go_on IS NULL THEN 'waiting for the canary' ELSE 'the canary died of one error; resume goes on all the same' END
            WHERE c.id = r.id;
            RETURN NULL;
        END IF;
        UPDATE redrives c SET canary = 0 WHERE c.id = r.id;
        r.canary := 0;
    END IF;
    -- What the rate allows since the last batch, at most a thousand at once.
    room := least(1000, greatest(1, floor(r.rate * least(extract(epoch FROM moment - r.moved_at), 1))::integer));
    IF r.canary > 0 THEN
        room := r.canary;
    END IF;
    BEGIN
        SELECT * INTO page FROM find_dead(r.queue, r.filter || jsonb_build_object('failedTo',
            least(r.died_before, (r.filter ->> 'failedTo')::timestamptz)), r.cursor_at, r.cursor_id, room, 10000);
        fresh := redrive_entries(page.ids, page.attempts, r.max_generation, NULL, r.id);
    EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
        RAISE;
    WHEN OTHERS THEN -- one that cannot go on must not hold up the others
        UPDATE redrives c SET state = 'stopped', finished_at = moment, moved_at = moment, note = left(SQLERRM, 500)
        WHERE c.id = r.id;
        RETURN NULL;
    END;
    UPDATE redrives c SET redriven = c.redriven + cardinality(fresh),
        passed_over = c.passed_over + cardinality(page.ids) - cardinality(fresh),
        canary_ids = CASE WHEN r.canary > 0 THEN fresh ELSE c.canary_ids END,
        cursor_at = page.last_at, cursor_id = page.last_id, moved_at = moment,
        state = CASE WHEN page.more THEN 'running' ELSE 'done' END,
        finished_at = CASE WHEN page.more THEN NULL ELSE moment END, note = NULL
    WHERE c.id = r.id;
    RETURN cardinality(fresh);
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.advance_redrives(), penstock.canary_passed(penstock.redrives), penstock.steer_redrive(bigint, text),
    penstock.start_redrive(text, jsonb, integer, integer, float8, integer), penstock.count_dead(text, jsonb, integer);
DROP TABLE penstock.redrives;
