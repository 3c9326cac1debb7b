-- The state of each queue that has a job, a worker or settings. Reads all that waits, runs or is
-- dead, and nothing that has finished.
CREATE OR REPLACE VIEW penstock.live_states AS
SELECT c.queue, clock_timestamp() AS at, sum(c.waiting)::bigint AS waiting, sum(c.scheduled)::bigint AS scheduled,
    sum(c.retrying)::bigint AS retrying, sum(c.due)::bigint AS due, sum(c.running)::bigint AS running,
    sum(c.dead)::bigint AS dead, sum(c.slots)::integer AS slots, min(c.oldest_due) AS oldest_due,
    to_timestamp(min(c.mean_due)) AS mean_due
FROM (
    SELECT p.queue, count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at > now()) AS scheduled,
        count(*) FILTER (WHERE p.failures + p.crashes > 0) AS retrying,
        count(*) FILTER (WHERE p.run_at <= now()) AS due, 0 AS running, 0 AS dead, 0 AS slots,
        min(p.run_at) FILTER (WHERE p.run_at <= now()) AS oldest_due,
        avg(date_part('epoch', p.run_at)) FILTER (WHERE p.run_at <= now()) AS mean_due
    FROM penstock.pending p GROUP BY p.queue
    UNION ALL SELECT r.queue, 0, 0, 0, 0, count(*), 0, 0, NULL, NULL FROM penstock.running r GROUP BY r.queue
    UNION ALL SELECT d.queue, 0, 0, 0, 0, 0, count(*), 0, NULL, NULL FROM penstock.dead_jobs d GROUP BY d.queue
    UNION ALL SELECT s.queue, 0, 0, 0, 0, 0, 0, s.slots, NULL, NULL FROM penstock.queue_slots s
    UNION ALL SELECT q.queue, 0, 0, 0, 0, 0, 0, 0, NULL, NULL FROM penstock.queues q
) c
GROUP BY c.queue;
