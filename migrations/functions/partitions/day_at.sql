-- What job_day says, which is asked once a minute: so long a session relies on today's
-- partition, which somebody may have taken away. One expression, as sleeps.
CREATE OR REPLACE FUNCTION penstock.day_at(moment timestamptz) RETURNS bigint
LANGUAGE sql AS $$
    SELECT CASE WHEN current_setting('penstock.covered', true) = floor(extract(epoch FROM moment) / 60)::text
        THEN floor(extract(epoch FROM moment) / 86400)::bigint ELSE penstock.job_day() END
$$;
