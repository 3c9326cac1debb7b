-- How many handlers the live workers of each queue have, and how many workers it has.
CREATE OR REPLACE VIEW penstock.queue_slots AS
SELECT q.queue, sum(coalesce(q.slots, w.concurrency / cardinality(w.queues)))::integer AS slots, count(*)::integer AS workers
FROM penstock.workers w CROSS JOIN LATERAL unnest(w.queues, w.slots) q(queue, slots) GROUP BY q.queue;
