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
    attempts      bigint      NOT NULL,
    failures      bigint      NOT NULL,
    PRIMARY KEY (queue, name)
);
COMMENT ON TABLE penstock.breaker_states IS 'attempts and failures are those that opened it. A name without a row is closed.';

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
-- Before a claim of a queue with an open breaker: puts due jobs of open names off
-- to their breaker's next probe, so that they wait without spending attempts and
-- without standing in anybody's way, and returns the jobs that may be claimed as
-- probes, one for each name whose time has come and whose last probe is over.
CREATE FUNCTION penstock.hold_back(queue text, max_jobs integer) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := now();
    ready  text[];
    names  text[];
    until  timestamptz[];
    probes bigint[] := '{}';
    rows_  tid[];
    called text[];
    ids    bigint[];
    nths   integer[];
    place  integer;
    one    text;
    lane   smallint;
BEGIN
    -- Whoever has a state locked is taking that probe.
    SELECT array_agg(r.name) INTO ready FROM (
        SELECT s.name FROM breaker_states s WHERE s.queue = hold_back.queue AND s.is_open AND s.next_probe_at <= moment
          AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = s.probe_job_id AND r.queue = s.queue
                          AND r.attempt = s.probe_attempt)
        FOR UPDATE SKIP LOCKED) r;
    FOREACH lane IN ARRAY coalesce(lanes(hold_back.queue), '{}') LOOP
        LOOP
            SELECT array_agg(h.ctid), array_agg(h.name), array_agg(h.job_id), array_agg(h.attempt)
            INTO rows_, called, ids, nths FROM (
                SELECT p.ctid, p.name, p.job_id, p.attempt FROM pending p
                WHERE p.queue = hold_back.queue AND p.priority = lane AND p.run_at <= moment
                ORDER BY p.run_at, p.job_id LIMIT greatest(max_jobs, 1000) FOR UPDATE SKIP LOCKED) h;
            FOREACH one IN ARRAY coalesce(ready, '{}') LOOP
                place := array_position(called, one);
                CONTINUE WHEN place IS NULL;
                probes := probes || ids[place];
                ready := array_remove(ready, one);
                UPDATE breaker_states s SET probe_job_id = ids[place], probe_attempt = nths[place] + 1,
                    next_probe_at = moment + (SELECT b.cool_down FROM breakers b WHERE b.queue = s.queue
                        AND b.name IN (s.name, '*') ORDER BY b.name = '*' LIMIT 1)
                WHERE s.queue = hold_back.queue AND s.name = one;
            END LOOP;
            SELECT array_agg(s.name), array_agg(greatest(s.next_probe_at, moment + interval '1 second')) INTO names, until
            FROM breaker_states s WHERE s.queue = hold_back.queue AND s.is_open;
            UPDATE pending p SET run_at = until[array_position(names, p.name)] + o.nth * interval '1 microsecond'
            FROM unnest(rows_, called, ids) WITH ORDINALITY o(place, name, id, nth)
            WHERE p.ctid = o.place AND o.name = ANY (names) AND o.id <> ALL (probes);
            EXIT WHEN NOT found;
        END LOOP;
    END LOOP;
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
    IF set_breaker.enabled IS NOT TRUE THEN
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
