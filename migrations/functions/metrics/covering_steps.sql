-- Returns the steps of samples that cover a span of time which starts at a minute: days where they
-- are complete and rolled up, hours and minutes at both ends.
CREATE OR REPLACE FUNCTION penstock.covering_steps(since timestamptz, until timestamptz, OUT step text, OUT low timestamptz, OUT high timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH hours AS (
        SELECT date_trunc('hour', since + interval '1 hour - 1 microsecond', 'UTC') AS low,
            date_trunc('hour', least(until, s.rolled_to), 'UTC') AS high FROM sampling s
    ), days AS (
        SELECT date_trunc('day', h.low + interval '24 hours - 1 microsecond', 'UTC') AS low, date_trunc('day', h.high, 'UTC') AS high FROM hours h
    )
    SELECT r.* FROM hours h, days d, LATERAL (VALUES
        ('minute', since, CASE WHEN h.low < h.high THEN h.low ELSE until END),
        ('hour', h.low, CASE WHEN d.low < d.high THEN d.low ELSE h.high END),
        ('day', d.low, d.high),
        ('hour', greatest(d.low, d.high), CASE WHEN d.low < d.high THEN h.high END),
        ('minute', h.high, CASE WHEN h.low < h.high THEN until END)) r(step, low, high)
    WHERE r.low < r.high
$$;
