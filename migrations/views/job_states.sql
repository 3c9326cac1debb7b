-- One row per job that is kept, with its state: waiting, scheduled, retrying, running, completed,
-- cancelled, expired, dead, redriven, purged. For one id it uses the keys of pending, running,
-- dead_jobs and attempts; without one it reads every job.
CREATE OR REPLACE VIEW penstock.job_states AS
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
COMMENT ON COLUMN penstock.job_states.id IS 'The job.';
COMMENT ON COLUMN penstock.job_states.queue IS 'Its queue.';
COMMENT ON COLUMN penstock.job_states.name IS 'Its name: which handler runs it.';
COMMENT ON COLUMN penstock.job_states.state IS
    'waiting (due), scheduled (due later), retrying (after a failure or a crash), running, completed, cancelled, expired, dead, redriven, purged.';
COMMENT ON COLUMN penstock.job_states.priority IS 'Its weight, 1 to 100, higher first.';
COMMENT ON COLUMN penstock.job_states.attempt IS 'The number of its last attempt; 0 before the first.';
COMMENT ON COLUMN penstock.job_states.failures IS 'Attempts that the handler failed; null once the job has finished.';
COMMENT ON COLUMN penstock.job_states.run_at IS 'When it falls due, or fell due for its last attempt.';
COMMENT ON COLUMN penstock.job_states.enqueued_at IS 'When it was enqueued.';
COMMENT ON COLUMN penstock.job_states.claimed_at IS 'When the attempt that runs began.';
COMMENT ON COLUMN penstock.job_states.finished_at IS 'When it finished or died.';
COMMENT ON COLUMN penstock.job_states.worker_id IS 'The worker that runs it.';
COMMENT ON COLUMN penstock.job_states.progress IS 'The progress that the running attempt reports, 0 to 100.';
COMMENT ON COLUMN penstock.job_states.progress_note IS 'Its note about that. Not for reporters.';
COMMENT ON COLUMN penstock.job_states.new_job_id IS 'The job that a redrive made of it.';
COMMENT ON COLUMN penstock.job_states.cancel_requested IS 'It runs, and was asked to stop.';
COMMENT ON COLUMN penstock.job_states.origin_id IS 'The dead job that it is the redrive of.';
COMMENT ON COLUMN penstock.job_states.generation IS 'How many redrives came before it.';
