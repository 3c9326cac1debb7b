-- Returns the wait after so many failures in a row: 10 seconds, doubled each time, at most an hour.
CREATE OR REPLACE FUNCTION penstock.task_backoff(failures integer) RETURNS interval
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN failures < 1 THEN interval '0'
        ELSE least(interval '10 seconds' * power(2, least(failures, 20) - 1), interval '1 hour') END
$$;
