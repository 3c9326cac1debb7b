-- Returns job_day, which the session calls again only once a minute. For that long it relies on
-- today's partition, which could be dropped. One expression, so that Postgres inlines it into
-- the caller.
CREATE OR REPLACE FUNCTION penstock.day_at(moment timestamptz) RETURNS bigint
LANGUAGE sql AS $$
    SELECT CASE WHEN current_setting('penstock.covered', true) = floor(extract(epoch FROM moment) / 60)::text
        THEN floor(extract(epoch FROM moment) / 86400)::bigint ELSE penstock.job_day() END
$$;
