-- Returns the wait before the next run of a job that has just failed for the failures-th time
-- (1, 2, 3 ...), d being the policy's delay:
--   fixed        d
--   linear       d x failures
--   exponential  d x multiplier ^ (failures - 1)
-- The wait is capped at max_delay, multiplied by a factor from [1 - jitter, 1 + jitter) (chance
-- is in [0, 1)), and capped again. A custom strategy brings its own delay; if it brought none,
-- d is used. The exponent is compared as a logarithm, so that no number of failures overflows.
CREATE OR REPLACE FUNCTION penstock.retry_delay(strategy text, delay interval, multiplier float8, max_delay interval,
    jitter float8, failures integer, chance float8 DEFAULT random()) RETURNS interval
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    base CONSTANT float8 := extract(epoch FROM delay);
    most CONSTANT float8 := extract(epoch FROM max_delay);
    wait float8 := CASE strategy
        WHEN 'linear' THEN base * greatest(failures, 1)
        WHEN 'exponential' THEN CASE
            WHEN base = 0 THEN 0
            WHEN most = 0 OR ln(base) + ln(multiplier) * (greatest(failures, 1)::float8 - 1) >= ln(most) THEN most
            ELSE base * power(multiplier, greatest(failures, 1)::float8 - 1) END
        ELSE base END;
BEGIN
    RETURN make_interval(secs => least(most, least(most, wait) * (1 + jitter * (2 * chance - 1))));
END $$;
