-- Registers one incarnation of a worker and returns its id. concurrency is how many jobs it
-- runs at once over all its queues; slots, if given, is that number for each queue.
CREATE OR REPLACE FUNCTION penstock.register_worker(queues text[], host text DEFAULT '', pid integer DEFAULT 0,
    version text DEFAULT '', concurrency integer DEFAULT 1, handlers text[] DEFAULT NULL, slots integer[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    IF coalesce(cardinality(register_worker.queues), 0) NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('queues', '1 to 1000 queue names', cardinality(register_worker.queues)::text);
    END IF;
    PERFORM check_name('queues', q) FROM unnest(register_worker.queues) q;
    IF register_worker.concurrency < 1 THEN
        PERFORM refuse('concurrency', '1 or more', register_worker.concurrency::text);
    END IF;
    IF cardinality(register_worker.handlers) > 10000 THEN
        PERFORM refuse('handlers', 'at most 10000', cardinality(register_worker.handlers)::text);
    END IF;
    IF cardinality(register_worker.slots) <> cardinality(register_worker.queues)
        OR EXISTS (SELECT FROM unnest(register_worker.slots) s WHERE s IS NULL OR s NOT BETWEEN 0 AND 1000000) THEN
        PERFORM refuse('slots', 'a number from 0 to 1000000 for each queue', left(register_worker.slots::text, 80));
    END IF;
    INSERT INTO workers (queues, host, pid, version, concurrency, handlers, slots)
    VALUES (register_worker.queues, left(coalesce(register_worker.host, ''), 255), coalesce(register_worker.pid, 0),
        left(coalesce(register_worker.version, ''), 255), coalesce(register_worker.concurrency, 1),
        register_worker.handlers, register_worker.slots)
    RETURNING id INTO new_id;
    RETURN new_id;
END $$;
