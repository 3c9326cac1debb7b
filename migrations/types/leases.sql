-- A leased job as claim returns it.
CREATE OR REPLACE VIEW penstock.leases AS
SELECT r.job_id, r.queue, r.name, r.attempt, r.failures, r.crashes, r.priority, r.run_at, r.claimed_at,
    (r.deadline - r.claimed_at)::interval AS timeout, j.enqueued_at, j.data, j.tags, j.origin_id, j.generation,
    j.trace_context
FROM penstock.running r JOIN penstock.jobs j ON j.id = r.job_id AND j.queue = r.queue;
