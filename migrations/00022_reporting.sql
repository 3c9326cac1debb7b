-- Views for people and tools that read in SQL: stable, commented, without anything a
-- job or its error says. Durations are milliseconds, hours and minutes are UTC's.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- Attempts name their worker by id: which version that was is asked after it left.
CREATE TABLE penstock.past_workers (
    id          bigint      PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid         integer     NOT NULL,
    concurrency integer     NOT NULL,
    host        text        NOT NULL,
    version     text        NOT NULL,
    queues      text[]      NOT NULL
);
CREATE INDEX past_workers_ended ON penstock.past_workers (ended_at);

-- +goose StatementBegin
-- Remembers a worker that left or was buried, as long as its attempts can be asked
-- about; who leaves forgets some that are past that.
CREATE FUNCTION penstock.remember_worker() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
BEGIN
    INSERT INTO past_workers (id, started_at, pid, concurrency, host, version, queues)
    VALUES (OLD.id, OLD.started_at, OLD.pid, OLD.concurrency, OLD.host, OLD.version, OLD.queues);
    DELETE FROM past_workers p WHERE p.id = ANY (ARRAY(
        SELECT o.id FROM past_workers o
        WHERE o.ended_at < clock_timestamp() - interval '2 days' - (SELECT s.retention FROM settings s)
        ORDER BY o.ended_at LIMIT 100 FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER remembered AFTER DELETE ON penstock.workers FOR EACH ROW EXECUTE FUNCTION penstock.remember_worker();

CREATE VIEW penstock.dlq_stats AS
SELECT d.queue, d.dead, d.exhausted, d.non_retryable, d.crash_loop, d.timeout, d.manual, d.retryable, d.scheduled, d.oldest_at,
    d.newest_at, d.new_24h, coalesce(l.redriven_24h, 0) AS redriven_24h, coalesce(l.purged_24h, 0) AS purged_24h
FROM (
    SELECT e.queue, count(*) AS dead, count(*) FILTER (WHERE e.reason = 'exhausted') AS exhausted,
        count(*) FILTER (WHERE e.reason = 'non_retryable') AS non_retryable, count(*) FILTER (WHERE e.reason = 'crash_loop') AS crash_loop,
        count(*) FILTER (WHERE e.reason = 'timeout') AS timeout, count(*) FILTER (WHERE e.reason = 'manual') AS manual,
        count(*) FILTER (WHERE e.can_retry) AS retryable, count(*) FILTER (WHERE e.next_retry_at IS NOT NULL) AS scheduled,
        min(e.failed_at) AS oldest_at, max(e.failed_at) AS newest_at,
        count(*) FILTER (WHERE e.failed_at > now() - interval '24 hours') AS new_24h
    FROM penstock.dead_jobs e GROUP BY e.queue) d
LEFT JOIN (
    SELECT g.queue, count(*) FILTER (WHERE g.how = 'redriven') AS redriven_24h, count(*) FILTER (WHERE g.how = 'purged') AS purged_24h
    FROM penstock.departures g WHERE g.departed_at > now() - interval '24 hours' GROUP BY g.queue) l ON l.queue = d.queue;
COMMENT ON VIEW penstock.dlq_stats IS 'One row per queue that has dead jobs, as of now. Reads these and what left in the last day.';
COMMENT ON COLUMN penstock.dlq_stats.queue IS 'The queue.';
COMMENT ON COLUMN penstock.dlq_stats.dead IS 'Jobs in the dead letter queue.';
COMMENT ON COLUMN penstock.dlq_stats.exhausted IS 'Of these, those whose attempts were spent.';
COMMENT ON COLUMN penstock.dlq_stats.non_retryable IS 'Those that were not to be retried.';
COMMENT ON COLUMN penstock.dlq_stats.crash_loop IS 'Those that took three workers with them.';
COMMENT ON COLUMN penstock.dlq_stats.timeout IS 'Those whose last attempt took too long.';
COMMENT ON COLUMN penstock.dlq_stats.manual IS 'Those that were laid there by hand.';
COMMENT ON COLUMN penstock.dlq_stats.retryable IS 'Those that may be redriven.';
COMMENT ON COLUMN penstock.dlq_stats.scheduled IS 'Those that will be redriven by themselves.';
COMMENT ON COLUMN penstock.dlq_stats.oldest_at IS 'When the first of them died.';
COMMENT ON COLUMN penstock.dlq_stats.newest_at IS 'When the last of them died.';
COMMENT ON COLUMN penstock.dlq_stats.new_24h IS 'Those that died in the last 24 hours.';
COMMENT ON COLUMN penstock.dlq_stats.redriven_24h IS 'Jobs that left by redrive in the last 24 hours.';
COMMENT ON COLUMN penstock.dlq_stats.purged_24h IS 'Jobs that were purged in the last 24 hours.';

-- Served by the BRIN index on attempts.finished_at: some pages of the newest partitions.
CREATE VIEW penstock.slowest_jobs AS
SELECT a.job_id, a.queue, a.name, a.attempt, a.outcome, a.worker_id, a.claimed_at, a.finished_at,
    extract(epoch FROM a.finished_at - a.claimed_at)::float8 * 1000 AS run_ms,
    greatest(extract(epoch FROM a.claimed_at - a.run_at)::float8 * 1000, 0) AS wait_ms
FROM penstock.attempts a WHERE a.finished_at > now() - interval '1 hour' AND a.claimed_at IS NOT NULL
UNION ALL
SELECT r.job_id, r.queue, r.name, r.attempt, 'running', r.worker_id, r.claimed_at, NULL,
    extract(epoch FROM clock_timestamp() - r.claimed_at)::float8 * 1000,
    greatest(extract(epoch FROM r.claimed_at - r.run_at)::float8 * 1000, 0)
FROM penstock.running r;
COMMENT ON VIEW penstock.slowest_jobs IS
    'The attempts that run, and those that ended within the last hour: order them by run_ms or wait_ms, descending, with a LIMIT.';
COMMENT ON COLUMN penstock.slowest_jobs.job_id IS 'The job.';
COMMENT ON COLUMN penstock.slowest_jobs.queue IS 'Its queue.';
COMMENT ON COLUMN penstock.slowest_jobs.name IS 'Its name.';
COMMENT ON COLUMN penstock.slowest_jobs.attempt IS 'The attempt''s number.';
COMMENT ON COLUMN penstock.slowest_jobs.outcome IS 'How it ended, or running.';
COMMENT ON COLUMN penstock.slowest_jobs.worker_id IS 'The worker that claimed it.';
COMMENT ON COLUMN penstock.slowest_jobs.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN penstock.slowest_jobs.finished_at IS 'When it ended; null while it runs.';
COMMENT ON COLUMN penstock.slowest_jobs.run_ms IS 'How long it ran, or runs.';
COMMENT ON COLUMN penstock.slowest_jobs.wait_ms IS 'How long it had been due when it was claimed.';

CREATE VIEW penstock.worker_stats AS
SELECT w.id, w.host, w.pid, w.version, w.queues, w.concurrency, w.started_at, w.beat_at,
    greatest(extract(epoch FROM clock_timestamp() - w.beat_at)::float8 * 1000, 0) AS silent_ms, coalesce(r.running, 0) AS running,
    coalesce(r.running, 0)::float8 / nullif(w.concurrency, 0) AS utilisation, r.oldest_claimed_at
FROM penstock.workers w
LEFT JOIN (SELECT u.worker_id, count(*) AS running, min(u.claimed_at) AS oldest_claimed_at
           FROM penstock.running u GROUP BY u.worker_id) r ON r.worker_id = w.id;
COMMENT ON VIEW penstock.worker_stats IS 'One row per live worker, as of now.';
COMMENT ON COLUMN penstock.worker_stats.id IS 'The worker: one incarnation of a process.';
COMMENT ON COLUMN penstock.worker_stats.host IS 'Where it runs.';
COMMENT ON COLUMN penstock.worker_stats.pid IS 'Its process there.';
COMMENT ON COLUMN penstock.worker_stats.version IS 'The version of its handlers, as it says.';
COMMENT ON COLUMN penstock.worker_stats.queues IS 'The queues it serves.';
COMMENT ON COLUMN penstock.worker_stats.concurrency IS 'How many jobs it runs at once.';
COMMENT ON COLUMN penstock.worker_stats.started_at IS 'When it registered.';
COMMENT ON COLUMN penstock.worker_stats.beat_at IS 'Its last heartbeat.';
COMMENT ON COLUMN penstock.worker_stats.silent_ms IS 'How long ago that was; at 15 seconds it is buried.';
COMMENT ON COLUMN penstock.worker_stats.running IS 'The jobs it has claimed.';
COMMENT ON COLUMN penstock.worker_stats.utilisation IS 'running / concurrency.';
COMMENT ON COLUMN penstock.worker_stats.oldest_claimed_at IS 'When it claimed the one that it has had longest.';

CREATE VIEW penstock.worker_versions AS
SELECT w.id, w.version, w.host, w.pid, w.queues, w.concurrency, w.started_at, NULL::timestamptz AS ended_at FROM penstock.workers w
UNION ALL
SELECT p.id, p.version, p.host, p.pid, p.queues, p.concurrency, p.started_at, p.ended_at FROM penstock.past_workers p;
COMMENT ON VIEW penstock.worker_versions IS 'One row per worker, live or gone, as long as its attempts are kept: what attempts.worker_id names.';
COMMENT ON COLUMN penstock.worker_versions.id IS 'The worker.';
COMMENT ON COLUMN penstock.worker_versions.version IS 'The version of its handlers, as it said.';
COMMENT ON COLUMN penstock.worker_versions.host IS 'Where it ran.';
COMMENT ON COLUMN penstock.worker_versions.pid IS 'Its process there.';
COMMENT ON COLUMN penstock.worker_versions.queues IS 'The queues it served.';
COMMENT ON COLUMN penstock.worker_versions.concurrency IS 'How many jobs it ran at once.';
COMMENT ON COLUMN penstock.worker_versions.started_at IS 'When it registered.';
COMMENT ON COLUMN penstock.worker_versions.ended_at IS 'When it left or was buried; null while it lives.';

COMMENT ON COLUMN penstock.job_states.id IS 'The job.';
COMMENT ON COLUMN penstock.job_states.queue IS 'Its queue.';
COMMENT ON COLUMN penstock.job_states.name IS 'Its name: which handler runs it.';
COMMENT ON COLUMN penstock.job_states.state IS
    'waiting (due), scheduled (due later), retrying (after a failure or a crash), running, completed, cancelled, expired, dead, redriven, purged.';
COMMENT ON COLUMN penstock.job_states.priority IS 'Its weight, 1 to 100, higher first.';
COMMENT ON COLUMN penstock.job_states.attempt IS 'The number of its last attempt; 0 before the first.';
COMMENT ON COLUMN penstock.job_states.failures IS 'Attempts that failed by the handler''s fault; null once it has finished.';
COMMENT ON COLUMN penstock.job_states.run_at IS 'When it falls due, or fell due for its last attempt.';
COMMENT ON COLUMN penstock.job_states.enqueued_at IS 'When it was enqueued.';
COMMENT ON COLUMN penstock.job_states.claimed_at IS 'When the attempt that runs began.';
COMMENT ON COLUMN penstock.job_states.finished_at IS 'When it finished or died.';
COMMENT ON COLUMN penstock.job_states.worker_id IS 'The worker that runs it.';
COMMENT ON COLUMN penstock.job_states.progress IS 'How far the running attempt says that it is, 0 to 100.';
COMMENT ON COLUMN penstock.job_states.progress_note IS 'Its word about that. Not for reporters.';
COMMENT ON COLUMN penstock.job_states.new_job_id IS 'The job that a redrive made of it.';
COMMENT ON COLUMN penstock.job_states.cancel_requested IS 'It runs, and was asked to stop.';
COMMENT ON COLUMN penstock.job_states.origin_id IS 'The dead job that it is the redrive of.';
COMMENT ON COLUMN penstock.job_states.generation IS 'How many redrives lie behind it.';

COMMENT ON VIEW penstock.error_groups IS
    'The dead letter queue by error: one row per queue, class, reason and message but for numbers, ids and quoted text. Reads every entry.';
COMMENT ON COLUMN penstock.error_groups.queue IS 'The queue.';
COMMENT ON COLUMN penstock.error_groups.fingerprint IS 'What class and message have in common, as a hash.';
COMMENT ON COLUMN penstock.error_groups.error_class IS 'The error''s class.';
COMMENT ON COLUMN penstock.error_groups.reason IS 'exhausted, non_retryable, crash_loop, timeout or manual.';
COMMENT ON COLUMN penstock.error_groups.jobs IS 'Dead jobs.';
COMMENT ON COLUMN penstock.error_groups.retryable IS 'Of these, those that may be redriven.';
COMMENT ON COLUMN penstock.error_groups.first_seen IS 'When the first of them died.';
COMMENT ON COLUMN penstock.error_groups.last_seen IS 'When the last of them died.';
COMMENT ON COLUMN penstock.error_groups.example_job_id IS 'The newest of them.';
COMMENT ON COLUMN penstock.error_groups.example IS 'Its message. Not for reporters.';
COMMENT ON COLUMN penstock.error_groups.resolved_at IS 'When somebody marked the group resolved.';
COMMENT ON COLUMN penstock.error_groups.resolved IS 'None has died of it since.';

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP VIEW penstock.worker_versions, penstock.worker_stats, penstock.slowest_jobs, penstock.dlq_stats;
DROP TRIGGER remembered ON penstock.workers;
DROP FUNCTION penstock.remember_worker();
DROP TABLE penstock.past_workers;
