-- Explains when a job runs. The result is an object: jobId, queueName, name, state, claimable (a
-- claim now would take it, given room) and reasons, the most decisive first. Each reason has a
-- stable code, a sentence, blocks (it keeps a claim from taking the job) and its facts. Null if no
-- such job is known.
-- Codes: finished, dead, redriven, purged, running, cancel_requested, expired, scheduled,
-- retry_wait, paused, breaker_open, no_worker, no_handler, jobs_ahead.
CREATE OR REPLACE FUNCTION penstock.explain(id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment  CONSTANT timestamptz := clock_timestamp();
    s       job_states;
    p       pending;
    d       dead_jobs;
    l       departures;
    r       running;
    b       breaker_states;
    probe   boolean;
    ahead   bigint;
    reasons jsonb := '[]';
BEGIN
    SELECT j.* INTO s FROM job_states j WHERE j.id = explain.id;
    IF NOT found THEN
        SELECT x.* INTO d FROM dead_jobs x WHERE x.job_id = explain.id;
        IF NOT found THEN
            RETURN NULL;
        END IF;
        s.id := d.job_id;
        s.queue := d.queue;
        s.name := d.name;
        s.state := 'dead';
    END IF;
    SELECT x.* INTO p FROM pending x WHERE x.job_id = s.id AND x.queue = s.queue;
    IF s.state = 'dead' THEN
        SELECT x.* INTO d FROM dead_jobs x WHERE x.job_id = s.id AND x.queue = s.queue;
        reasons := reasons || explain_reason('dead', true, format('it is in the dead letter queue since %s: %s (%s)', d.failed_at,
            d.error_class, d.reason), jsonb_build_object('reason', d.reason, 'errorClass', d.error_class, 'failedAt', d.failed_at,
            'canRetry', d.can_retry, 'nextRetryAt', d.next_retry_at, 'entry', format('dlq_%s_%s', d.job_id, d.attempt)));
    ELSIF s.state IN ('redriven', 'purged') THEN
        SELECT x.* INTO l FROM departures x WHERE x.job_id = s.id AND x.queue = s.queue;
        reasons := reasons || explain_reason(s.state, true, CASE s.state WHEN 'redriven'
            THEN format('it died and was redriven as job %s', l.new_job_id) ELSE 'it died and was purged' END,
            jsonb_build_object('at', l.departed_at, 'by', l.actor, 'newJobId', l.new_job_id::text));
    ELSIF s.state IN ('completed', 'cancelled', 'expired') THEN
        reasons := reasons || explain_reason('finished', true, format('it has finished: %s at %s', s.state, s.finished_at),
            jsonb_build_object('outcome', s.state, 'at', s.finished_at));
    ELSIF s.state = 'running' THEN
        SELECT x.* INTO r FROM running x WHERE x.job_id = s.id AND x.queue = s.queue;
        reasons := reasons || explain_reason('running', true, format('it runs: attempt %s by worker %s since %s', r.attempt,
            r.worker_id, r.claimed_at), jsonb_build_object('attempt', r.attempt, 'workerId', r.worker_id::text,
            'claimedAt', r.claimed_at, 'deadline', r.deadline));
        IF r.cancel_requested THEN
            reasons := reasons || explain_reason('cancel_requested', false, 'its cancel was asked; the handler has not ended yet', '{}');
        END IF;
    ELSE
        IF p.expires_at <= moment THEN
            reasons := reasons || explain_reason('expired', true, format('it was not started by %s and will end as expired', p.expires_at),
                jsonb_build_object('expiresAt', p.expires_at));
        END IF;
        SELECT x.* INTO b FROM breaker_states x WHERE x.queue = s.queue AND x.name = s.name AND x.is_open;
        IF b.is_open THEN
            -- As defer_for_breakers chooses: the first due job of the name, if a probe is due and none runs.
            probe := coalesce(b.next_probe_at <= moment AND p.run_at <= moment, false)
                AND NOT EXISTS (SELECT FROM running x WHERE x.job_id = b.probe_job_id AND x.queue = b.queue AND x.attempt = b.probe_attempt)
                AND NOT EXISTS (SELECT FROM pending o WHERE o.queue = s.queue AND o.name = s.name AND o.run_at <= moment
                    AND (o.priority > p.priority OR (o.priority = p.priority AND (o.run_at, o.job_id) < (p.run_at, p.job_id))));
            reasons := reasons || explain_reason('breaker_open', NOT probe, format('the circuit breaker of %s is open since %s: %s of %s attempts failed%s',
                s.name, b.changed_at, b.failures, b.attempts, CASE WHEN probe THEN '; it goes next, as the probe' ELSE '' END),
                jsonb_build_object('since', b.changed_at, 'nextProbeAt', b.next_probe_at));
        END IF;
        IF p.run_at > moment THEN
            reasons := reasons || CASE WHEN p.failures + p.crashes > 0
                THEN explain_reason('retry_wait', true, format('it failed or was lost and waits for its next attempt at %s', p.run_at),
                    jsonb_build_object('until', p.run_at, 'failures', p.failures, 'crashes', p.crashes))
                ELSE explain_reason('scheduled', true, format('it may not start before %s', p.run_at), jsonb_build_object('until', p.run_at)) END;
        END IF;
        IF EXISTS (SELECT FROM queues q WHERE q.queue = s.queue AND q.paused) THEN
            reasons := reasons || explain_reason('paused', true, format('queue %s is paused', s.queue), '{}');
        END IF;
        IF NOT EXISTS (SELECT FROM workers w WHERE s.queue = ANY (w.queues)) THEN
            reasons := reasons || explain_reason('no_worker', false, format('no live worker serves queue %s', s.queue), '{}');
        ELSIF NOT EXISTS (SELECT FROM workers w WHERE s.queue = ANY (w.queues) AND (w.handlers IS NULL
                OR s.queue || ' ' || s.name = ANY (w.handlers) OR s.queue || ' *' = ANY (w.handlers))) THEN
            reasons := reasons || explain_reason('no_handler', false, format('no live worker of queue %s knows the name %s', s.queue, s.name), '{}');
        END IF;
        SELECT count(*) INTO ahead FROM (
            SELECT FROM pending o WHERE o.queue = s.queue AND o.run_at <= moment AND (o.priority > p.priority
                OR (o.priority = p.priority AND (o.run_at, o.job_id) < (p.run_at, p.job_id))) LIMIT 10000) o;
        IF ahead > 0 THEN
            reasons := reasons || explain_reason('jobs_ahead', false, format('%s due jobs go first', CASE WHEN ahead = 10000 THEN '10,000+' ELSE ahead::text END),
                jsonb_build_object('jobs', ahead, 'atLeast', ahead = 10000));
        END IF;
    END IF;
    RETURN jsonb_build_object('jobId', s.id::text, 'queueName', s.queue, 'name', s.name, 'state', s.state, 'claimable',
        p.job_id IS NOT NULL AND NOT EXISTS (SELECT FROM jsonb_array_elements(reasons) x WHERE (x ->> 'blocks')::boolean),
        'reasons', reasons);
END $$;
