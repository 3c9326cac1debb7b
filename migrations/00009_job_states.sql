-- One row per job and the state it is in, for anyone who reads.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- Served by the keys of pending, running, dead_jobs and attempts when asked for
-- one id; over the whole it reads every kept job.
CREATE VIEW penstock.job_states AS
SELECT j.id, j.queue, j.name,
    CASE
        WHEN r.job_id IS NOT NULL THEN 'running'
        WHEN d.job_id IS NOT NULL THEN 'dead'
        WHEN p.job_id IS NULL THEN CASE last.outcome
            WHEN 'completed' THEN 'completed' WHEN 'cancelled' THEN 'cancelled' WHEN 'expired' THEN 'expired'
            ELSE l.how END
        WHEN p.failures > 0 OR p.crashes > 0 THEN 'retrying'
        WHEN p.run_at > clock_timestamp() THEN 'scheduled'
        ELSE 'waiting'
    END AS state,
    coalesce(r.priority, p.priority, d.priority, last.priority) AS priority,
    coalesce(r.attempt, p.attempt, d.attempt, last.attempt, 0) AS attempt,
    coalesce(r.failures, p.failures, d.failures) AS failures,
    coalesce(p.run_at, r.run_at, last.run_at) AS run_at,
    j.enqueued_at, r.claimed_at, coalesce(d.failed_at, CASE WHEN p.job_id IS NULL AND r.job_id IS NULL THEN last.finished_at END) AS finished_at,
    r.worker_id, r.progress, r.progress_note, l.new_job_id, coalesce(r.cancel_requested, false) AS cancel_requested, j.origin_id, j.generation
FROM penstock.jobs j
LEFT JOIN penstock.pending p ON p.job_id = j.id AND p.queue = j.queue
LEFT JOIN penstock.running r ON r.job_id = j.id AND r.queue = j.queue
LEFT JOIN penstock.dead_jobs d ON d.job_id = j.id AND d.queue = j.queue
LEFT JOIN penstock.departures l ON l.job_id = j.id AND l.queue = j.queue
LEFT JOIN LATERAL (
    SELECT a.outcome, a.priority, a.attempt, a.run_at, a.finished_at FROM penstock.attempts a
    WHERE a.job_id = j.id AND a.queue = j.queue ORDER BY a.attempt DESC LIMIT 1) last ON true;
COMMENT ON VIEW penstock.job_states IS
    'waiting, scheduled, retrying, running, completed, cancelled, expired, dead, redriven, purged: one row per job kept.';

-- Nobody reaches a verb that was not granted to them (penstock grants).
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;
REVOKE ALL ON SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP VIEW penstock.job_states;
