-- Circuit breakers, per queue and name, off unless a row turns one on. While one is
-- open its jobs wait, and one probe at a time is let through. The state is in the
-- database, so a fleet agrees.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.breakers (
    queue          text     NOT NULL,
    name           text     NOT NULL DEFAULT '*',
    failure_share  float8   NOT NULL DEFAULT 0.5 CHECK (failure_share > 0 AND failure_share <= 1),
    least_attempts integer  NOT NULL DEFAULT 20 CHECK (least_attempts BETWEEN 1 AND 100000),
    span           interval NOT NULL DEFAULT '30 seconds' CHECK (span BETWEEN '1 second' AND '1 hour'),
    cool_down      interval NOT NULL DEFAULT '30 seconds' CHECK (cool_down BETWEEN '1 second' AND '1 day'),
    PRIMARY KEY (queue, name)
);
COMMENT ON TABLE penstock.breakers IS
    'A breaker opens when failure_share of at least least_attempts attempts within span failed; name * is each name by itself.';

CREATE TABLE penstock.breaker_states (
    queue         text        NOT NULL,
    name          text        NOT NULL,
    is_open       boolean     NOT NULL,
    changed_at    timestamptz NOT NULL,
    next_probe_at timestamptz,
    probe_job_id  bigint,
    probe_attempt integer,
    held_from     timestamptz,
    held_till     timestamptz,
    attempts      bigint      NOT NULL,
    failures      bigint      NOT NULL,
    PRIMARY KEY (queue, name)
);
COMMENT ON TABLE penstock.breaker_states IS 'attempts and failures are those that opened it. A name without a row is closed.';
COMMENT ON COLUMN penstock.breaker_states.held_from IS
    'The jobs put off last have their run_at behind this and up to held_till, in their order.';

-- What a batch of ends adds up to: appended, never updated, so that nobody who
-- ends attempts waits for anybody else. Pruned by maintenance.
CREATE TABLE penstock.breaker_tallies (
    queue    text        NOT NULL,
    name     text        NOT NULL,
    at       timestamptz NOT NULL,
    attempts integer     NOT NULL,
    failures integer     NOT NULL
);
CREATE INDEX breaker_tallies_newest ON penstock.breaker_tallies (queue, name, at);

-- +goose StatementBegin
-- Counts ended attempts of one queue for its breakers, opens those that have seen
-- too many failures, and closes or keeps open what a probe has tried. The arrays
-- run in parallel, failed true, false, or null for an end that says nothing
-- (snoozed, released, cancelled, lost). REQUIRES: the queue has a breaker.
CREATE FUNCTION penstock.count_for_breakers(queue text, names text[], job_ids bigint[], attempts integer[], failed boolean[])
RETURNS void LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    one    record;
    sums   record;
BEGIN
    -- Failures of one queue are counted one batch after the other, so that the last
    -- of several that end at once sees them all. Successes wait for nobody.
    IF true = ANY (failed) THEN
        PERFORM pg_advisory_xact_lock(hashtext('penstock breaker'), hashtext(count_for_breakers.queue));
    END IF;
    INSERT INTO breaker_tallies (queue, name, at, attempts, failures)
    SELECT count_for_breakers.queue, e.name, moment, count(*), count(*) FILTER (WHERE e.failed)
    FROM unnest(names, failed) e(name, failed) WHERE e.failed IS NOT NULL GROUP BY e.name;

    UPDATE breaker_states s SET is_open = e.failed, changed_at = CASE WHEN e.failed THEN s.changed_at ELSE moment END,
        next_probe_at = CASE WHEN e.failed THEN moment + b.cool_down END, probe_job_id = NULL, probe_attempt = NULL
    FROM unnest(job_ids, count_for_breakers.attempts, failed) e(job_id, attempt, failed), breakers b
    WHERE s.queue = count_for_breakers.queue AND s.is_open AND s.probe_job_id = e.job_id AND s.probe_attempt = e.attempt
      AND e.failed IS NOT NULL AND b.queue = s.queue
      AND b.name = (SELECT m.name FROM breakers m WHERE m.queue = s.queue AND m.name IN (s.name, '*')
          ORDER BY m.name = '*' LIMIT 1);

    FOR one IN
        SELECT DISTINCT ON (n.name) n.name, b.failure_share, b.least_attempts, b.span, b.cool_down, s.changed_at
        FROM (SELECT DISTINCT e.name FROM unnest(names, failed) e(name, failed) WHERE e.failed) n
        JOIN breakers b ON b.queue = count_for_breakers.queue AND b.name IN (n.name, '*')
        LEFT JOIN breaker_states s ON s.queue = b.queue AND s.name = n.name
        WHERE s.is_open IS NOT TRUE
        ORDER BY n.name, b.name = '*'
    LOOP
        SELECT coalesce(sum(t.attempts), 0) AS attempts, coalesce(sum(t.failures), 0) AS failures INTO sums
        FROM breaker_tallies t WHERE t.queue = count_for_breakers.queue AND t.name = one.name
          AND t.at > greatest(moment - one.span, one.changed_at);
        CONTINUE WHEN sums.attempts < one.least_attempts OR sums.failures < one.failure_share * sums.attempts;
        INSERT INTO breaker_states AS s (queue, name, is_open, changed_at, next_probe_at, attempts, failures)
        VALUES (count_for_breakers.queue, one.name, true, moment, moment + one.cool_down, sums.attempts, sums.failures)
        ON CONFLICT (queue, name) DO UPDATE SET is_open = true, changed_at = moment, next_probe_at = excluded.next_probe_at,
            probe_job_id = NULL, probe_attempt = NULL, attempts = excluded.attempts, failures = excluded.failures
            WHERE NOT s.is_open;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Before a claim of a queue with an open breaker: puts due jobs of open names off,
-- so that they wait without spending attempts and without standing in anybody's
-- way, and returns the jobs that may be claimed as probes, one for each name whose
-- time has come and whose last probe is over.
--
-- Held-back jobs keep their order: each goes a microsecond behind the last one. Those
-- that fall due while the ones put off before them still wait go behind these. They
-- come back at the next probe; while one is under way, after as long as it has run,
-- so that they run soon after it closes the breaker and are not written every second
-- until then.
--
-- One claim of a queue does this at a time, which keeps that order and lets nobody
-- take a second probe; the others leave open names alone. What it looks at and
-- writes is bounded: up to 20 blocks of jobs at each lane's head.
CREATE FUNCTION penstock.hold_back(queue text, max_jobs integer) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := now();
    names  text[];        -- the open ones; the next arrays run in parallel
    ready  boolean[];     -- its next due job is a probe
    firsts timestamptz[]; -- what it has put off waits from here,
    lasts  timestamptz[]; -- up to here
    starts boolean[];     -- nothing put off before is still waiting
    probes bigint[] := '{}';
    lane   smallint;
    ending record;
    one    record;
    places tid[];
    dues   timestamptz[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock hold back'), hashtext(hold_back.queue)) THEN
        RETURN probes;
    END IF;
    -- Whoever ends a probe has its state locked, and decides first.
    SELECT array_agg(o.name), array_agg(o.next_probe_at <= moment AND NOT o.probing), array_agg(o.first), array_agg(o.first),
        array_agg(o.starts)
    INTO names, ready, firsts, lasts, starts FROM (
        SELECT s.name, s.next_probe_at, f.probing, coalesce(s.held_from, '-infinity') <= moment AS starts,
            CASE WHEN s.held_from > moment THEN s.held_till ELSE greatest(s.held_till, CASE WHEN f.probing
                THEN moment + greatest(least(moment - (s.next_probe_at - f.cool_down), f.cool_down), interval '1 second')
                ELSE greatest(s.next_probe_at, moment + interval '1 second') END) END AS first
        FROM breaker_states s CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM running r WHERE r.job_id = s.probe_job_id AND r.queue = s.queue
                    AND r.attempt = s.probe_attempt) AS probing,
                (SELECT b.cool_down FROM breakers b WHERE b.queue = s.queue AND b.name IN (s.name, '*')
                    ORDER BY b.name = '*' LIMIT 1) AS cool_down) f
        WHERE s.queue = hold_back.queue AND s.is_open FOR UPDATE OF s SKIP LOCKED) o;
    IF names IS NULL THEN
        RETURN probes;
    END IF;
    FOREACH lane IN ARRAY coalesce(lanes(hold_back.queue), '{}') LOOP
        FOR block IN 1..20 LOOP
            SELECT p.run_at, p.job_id INTO ending FROM pending p
            WHERE p.queue = hold_back.queue AND p.priority = lane AND p.run_at <= moment
            ORDER BY p.run_at, p.job_id OFFSET greatest(max_jobs, 1000) - 1 LIMIT 1;
            places := '{}';
            dues := '{}';
            FOR one IN
                SELECT p.ctid AS place, p.job_id, p.attempt, array_position(names, p.name) AS nth FROM pending p
                WHERE p.queue = hold_back.queue AND p.priority = lane
                  AND (p.run_at, p.job_id) <= (coalesce(ending.run_at, moment), coalesce(ending.job_id, 9223372036854775807))
                  AND p.name = ANY (names) AND p.job_id <> ALL (probes)
                ORDER BY p.run_at, p.job_id FOR UPDATE SKIP LOCKED
            LOOP
                IF ready[one.nth] THEN
                    UPDATE breaker_states s SET probe_job_id = one.job_id, probe_attempt = one.attempt + 1,
                        next_probe_at = moment + (SELECT b.cool_down FROM breakers b WHERE b.queue = s.queue
                            AND b.name IN (s.name, '*') ORDER BY b.name = '*' LIMIT 1)
                    WHERE s.queue = hold_back.queue AND s.name = names[one.nth];
                    probes := probes || one.job_id;
                    ready[one.nth] := false;
                ELSE
                    lasts[one.nth] := lasts[one.nth] + interval '1 microsecond';
                    places := places || one.place;
                    dues := dues || lasts[one.nth];
                END IF;
            END LOOP;
            EXIT WHEN places = '{}';
            UPDATE pending p SET run_at = o.due FROM unnest(places, dues) o(place, due) WHERE p.ctid = o.place;
        END LOOP;
    END LOOP;
    UPDATE breaker_states s SET held_from = CASE WHEN o.starts THEN o.first ELSE s.held_from END, held_till = o.last
    FROM unnest(names, firsts, lasts, starts) o(name, first, last, starts)
    WHERE s.queue = hold_back.queue AND s.name = o.name AND o.last > o.first;
    RETURN probes;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Turns the breaker of a queue and name (* for each name of the queue) on with
-- these settings, or off, which also closes it.
CREATE FUNCTION penstock.set_breaker(queue text, name text DEFAULT '*', enabled boolean DEFAULT true,
    failure_share float8 DEFAULT 0.5, least_attempts integer DEFAULT 20, span interval DEFAULT '30 seconds',
    cool_down interval DEFAULT '30 seconds') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', set_breaker.queue);
    IF set_breaker.name IS DISTINCT FROM '*' THEN
        PERFORM check_name('name', set_breaker.name);
    END IF;
    IF set_breaker.enabled IS NULL THEN
        PERFORM refuse('enabled', 'true or false', NULL);
    ELSIF NOT set_breaker.enabled THEN
        DELETE FROM breakers b WHERE b.queue = set_breaker.queue AND b.name = set_breaker.name;
        DELETE FROM breaker_states s WHERE s.queue = set_breaker.queue AND NOT EXISTS
            (SELECT FROM breakers b WHERE b.queue = s.queue AND b.name IN (s.name, '*'));
        RETURN;
    END IF;
    IF set_breaker.failure_share IS NULL OR set_breaker.failure_share <= 0 OR set_breaker.failure_share > 1
        OR set_breaker.failure_share = 'NaN' THEN
        PERFORM refuse('failure_share', 'above 0 and at most 1', set_breaker.failure_share::text);
    ELSIF set_breaker.least_attempts IS NULL OR set_breaker.least_attempts NOT BETWEEN 1 AND 100000 THEN
        PERFORM refuse('least_attempts', '1 to 100000', set_breaker.least_attempts::text);
    ELSIF set_breaker.span IS NULL OR set_breaker.span NOT BETWEEN '1 second' AND '1 hour' THEN
        PERFORM refuse('span', '1 second to 1 hour', set_breaker.span::text);
    ELSIF set_breaker.cool_down IS NULL OR set_breaker.cool_down NOT BETWEEN '1 second' AND '1 day' THEN
        PERFORM refuse('cool_down', '1 second to 1 day', set_breaker.cool_down::text);
    END IF;
    INSERT INTO breakers VALUES (set_breaker.queue, set_breaker.name, set_breaker.failure_share,
        set_breaker.least_attempts, set_breaker.span, set_breaker.cool_down)
    ON CONFLICT (queue, name) DO UPDATE SET failure_share = excluded.failure_share,
        least_attempts = excluded.least_attempts, span = excluded.span, cool_down = excluded.cool_down;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets tallies that no breaker looks back to any more.
CREATE FUNCTION penstock.prune_tallies() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM breaker_tallies t WHERE t.at < clock_timestamp() - interval '1 hour';
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.prune_tallies(), penstock.set_breaker(text, text, boolean, float8, integer, interval, interval),
    penstock.hold_back(text, integer), penstock.count_for_breakers(text, text[], bigint[], integer[], boolean[]);
DROP TABLE penstock.breaker_tallies, penstock.breaker_states, penstock.breakers;
