-- Adds up to max_tallies tallies to the samples of their minutes and deletes them, in one
-- transaction. It returns how many. A late tally of an hour that is rolled up is added there too.
-- REQUIRES: the lock of sample_metrics.
CREATE OR REPLACE FUNCTION penstock.fold_tallies(max_tallies integer) RETURNS integer
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    taken tallies[];
    late  tallies[];
BEGIN
    WITH gone AS (
        DELETE FROM tallies t WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM tallies o LIMIT max_tallies)) RETURNING t AS one)
    SELECT coalesce(array_agg(g.one), '{}') INTO taken FROM gone g;
    PERFORM add_metric_samples(ARRAY(SELECT m FROM metrics_of(taken, 'minute') m)),
        add_latency_samples(ARRAY(SELECT l FROM latencies_of(taken, 'minute') l));
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, came, came_later)
    SELECT t.queue, clock_timestamp(), 0, 0, 0, 0, 0, 0, 0, sum(jobs_gained(t)), coalesce(sum(t.later), 0)
    FROM unnest(taken) t GROUP BY t.queue
    ON CONFLICT (queue) DO UPDATE SET came = q.came + excluded.came, came_later = q.came_later + excluded.came_later;
    late := ARRAY(SELECT t FROM unnest(taken) t WHERE t.at < (SELECT s.rolled_to FROM sampling s));
    IF late <> '{}' THEN
        PERFORM add_metric_samples(ARRAY(SELECT m FROM metrics_of(late, s.step) m)),
            add_latency_samples(ARRAY(SELECT l FROM latencies_of(late, s.step) l))
        FROM (VALUES ('hour'), ('day')) s(step);
    END IF;
    RETURN cardinality(taken);
END $$;
