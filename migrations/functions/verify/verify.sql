-- Runs every check and returns the results, those that found something first. One call is one
-- snapshot: it delays vacuum for as long as it takes, some 2 s per million jobs.
CREATE OR REPLACE FUNCTION penstock.verify() RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    part  record;
    low   bigint;
    high  bigint;
    done  verifications[] := ARRAY(SELECT r FROM verify_rest() r);
BEGIN
    FOR part IN SELECT p.first_day * 100000000000 AS low, (p.last_day + 1) * 100000000000 AS high FROM partitions p ORDER BY 1 LOOP
        low := part.low;
        WHILE low < part.high LOOP
            high := verify_cut(low, part.high);
            done := done || ARRAY(SELECT v FROM verify_jobs(low, high) v);
            low := high;
        END LOOP;
    END LOOP;
    RETURN QUERY
    SELECT d.code, sum(d.checked)::bigint, sum(d.found)::bigint,
        coalesce((string_to_array(string_agg(array_to_string(d.examples, E'\n'), E'\n') FILTER (WHERE d.examples <> '{}'), E'\n'))[1:5], '{}')
    FROM unnest(done) d GROUP BY d.code ORDER BY 3 DESC, 1;
END $$;
