-- Puts off due jobs of names whose breaker is open, before a claim. They use up no attempts and
-- do not block other jobs. It returns the jobs that may be claimed as probes: one for each name
-- whose time has come and whose last probe has ended.
--
-- Deferred jobs keep their order: each gets a run_at one microsecond after the one before. Jobs
-- that fall due while earlier ones are still deferred go behind these. They come back at the next
-- probe. While a probe runs, they come back after as long as it has run, so that they run soon
-- after it closes the breaker and are not rewritten every second until then.
--
-- One claim of a queue does this at a time, which keeps the order and allows one probe only; the
-- others leave open names alone. What it reads and writes is limited to 20 blocks of jobs at the
-- head of each lane.
-- Indexes: the primary keys of breaker_states, breakers, pending and running. Locks: an advisory
-- lock on the queue (tried, not waited for); the rows of breaker_states and pending, SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.defer_for_breakers(queue text, max_jobs integer) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
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
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock hold back'), hashtext(defer_for_breakers.queue)) THEN
        RETURN probes;
    END IF;
    -- A session that ends a probe has its state locked, and decides first.
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
        WHERE s.queue = defer_for_breakers.queue AND s.is_open FOR UPDATE OF s SKIP LOCKED) o;
    IF names IS NULL THEN
        RETURN probes;
    END IF;
    FOREACH lane IN ARRAY coalesce(lanes(defer_for_breakers.queue), '{}') LOOP
        FOR block IN 1..20 LOOP
            SELECT p.run_at, p.job_id INTO ending FROM pending p
            WHERE p.queue = defer_for_breakers.queue AND p.priority = lane AND p.run_at <= moment
            ORDER BY p.run_at, p.job_id OFFSET greatest(max_jobs, 1000) - 1 LIMIT 1;
            places := '{}';
            dues := '{}';
            FOR one IN
                SELECT p.ctid AS place, p.job_id, p.attempt, array_position(names, p.name) AS nth FROM pending p
                WHERE p.queue = defer_for_breakers.queue AND p.priority = lane
                  AND (p.run_at, p.job_id) <= (coalesce(ending.run_at, moment), coalesce(ending.job_id, 9223372036854775807))
                  AND p.name = ANY (names) AND p.job_id <> ALL (probes)
                ORDER BY p.run_at, p.job_id FOR UPDATE SKIP LOCKED
            LOOP
                IF ready[one.nth] THEN
                    UPDATE breaker_states s SET probe_job_id = one.job_id, probe_attempt = one.attempt + 1,
                        next_probe_at = moment + (SELECT b.cool_down FROM breakers b WHERE b.queue = s.queue
                            AND b.name IN (s.name, '*') ORDER BY b.name = '*' LIMIT 1)
                    WHERE s.queue = defer_for_breakers.queue AND s.name = names[one.nth];
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
    WHERE s.queue = defer_for_breakers.queue AND s.name = o.name AND o.last > o.first;
    RETURN probes;
END $$;
