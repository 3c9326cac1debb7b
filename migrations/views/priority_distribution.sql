-- How many jobs of each queue wait and run, by weight.
CREATE OR REPLACE VIEW penstock.priority_distribution AS
SELECT c.queue, c.priority AS weight, penstock.priority_level(c.priority) AS level, sum(c.waiting)::bigint AS waiting,
    sum(c.scheduled)::bigint AS scheduled, sum(c.running)::bigint AS running
FROM (
    SELECT p.queue, p.priority, count(*) FILTER (WHERE p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.run_at > now()) AS scheduled, 0 AS running
    FROM penstock.pending p GROUP BY p.queue, p.priority
    UNION ALL
    SELECT r.queue, r.priority, 0, 0, count(*) FROM penstock.running r GROUP BY r.queue, r.priority) c
GROUP BY c.queue, c.priority;
