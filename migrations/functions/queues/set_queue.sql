-- Changes settings of a queue; null leaves one as it is. default_priority (a level or a weight) is
-- for jobs that state none and that no rule matches, from the next enqueue on. aging is the weight
-- that a waiting job gains per second, from the next claim on: 0 (none), or 0.00001 to 1000. A
-- claim divides by it, and weight / aging must be a time that Postgres can represent.
CREATE OR REPLACE FUNCTION penstock.set_queue(queue text, default_priority text DEFAULT NULL, aging float8 DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    weight smallint;
BEGIN
    PERFORM check_name('queue', set_queue.queue);
    IF set_queue.aging <> 0 AND set_queue.aging NOT BETWEEN 0.00001 AND 1000 THEN
        PERFORM refuse('aging', '0 or 0.00001 to 1000', set_queue.aging::text);
    END IF;
    weight := priority_weight(to_jsonb(set_queue.default_priority));
    INSERT INTO queues (queue) VALUES (set_queue.queue) ON CONFLICT DO NOTHING;
    UPDATE queues q SET default_priority = coalesce(weight, q.default_priority), aging = coalesce(set_queue.aging, q.aging)
    WHERE q.queue = set_queue.queue;
END $$;
