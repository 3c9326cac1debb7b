-- Ends every given attempt of many queues alike; returns how many were still leased.
CREATE OR REPLACE FUNCTION penstock.settle_all(rows_given penstock.running[], outcome text, class text, message text)
RETURNS integer LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    one    record;
    ended  integer := 0;
    more   integer;
BEGIN
    FOR one IN SELECT r.queue, count(*)::integer AS n, array_agg(r.job_id ORDER BY r.job_id) AS ids,
            array_agg(r.attempt ORDER BY r.job_id) AS nths
        FROM unnest(rows_given) r GROUP BY r.queue ORDER BY r.queue
    LOOP
        SELECT count(*) INTO more FROM settle(one.queue, one.ids, one.nths, array_fill(outcome, ARRAY[one.n]),
            array_fill(class, ARRAY[one.n]), array_fill(message, ARRAY[one.n]), NULL, NULL, NULL) s
        WHERE s.status = 'accepted';
        ended := ended + more;
    END LOOP;
    RETURN ended;
END $$;
