-- Returns where a span of time starts in the samples: at a minute; at an hour if the span is longer
-- than two days or minutes are not kept that long; at a day if hours are not.
CREATE OR REPLACE FUNCTION penstock.sampled_since(since timestamptz, span interval) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT date_trunc(CASE WHEN since < clock_timestamp() - s.hours_kept THEN 'day'
        WHEN since < clock_timestamp() - s.minutes_kept OR sampled_since.span > interval '48 hours' THEN 'hour' ELSE 'minute' END, since, 'UTC')
    FROM settings s
$$;
