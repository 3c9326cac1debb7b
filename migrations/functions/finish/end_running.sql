-- Ends the given attempts of any queues with one outcome and returns how many were still
-- leased. Indexes and locks: those of end_attempts, queue by queue.
CREATE OR REPLACE FUNCTION penstock.end_running(rows_given penstock.running[], outcome text, class text, message text)
RETURNS integer LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    one   record;
    ended integer := 0;
    more  integer;
BEGIN
    FOR one IN SELECT r.queue, count(*)::integer AS n, array_agg(r.job_id ORDER BY r.job_id) AS ids,
            array_agg(r.attempt ORDER BY r.job_id) AS attempt_numbers
        FROM unnest(rows_given) r GROUP BY r.queue ORDER BY r.queue
    LOOP
        SELECT count(*) INTO more FROM end_attempts(one.queue, one.ids, one.attempt_numbers, array_fill(outcome, ARRAY[one.n]),
            array_fill(class, ARRAY[one.n]), array_fill(message, ARRAY[one.n]), NULL, NULL, NULL) s
        WHERE s.status = 'accepted';
        ended := ended + more;
    END LOOP;
    RETURN ended;
END $$;
