-- Returns the UTC day, in days since 1970, that new ids carry: today if it has a partition, else
-- the newest day before it that has one, else the oldest there is (the clock was set back). So
-- enqueue does not fail for lack of a partition. The session keeps in penstock.covered the
-- minute in which today had one (day_at).
CREATE OR REPLACE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    minute CONSTANT integer := floor(extract(epoch FROM clock_timestamp()) / 60);
    today  CONSTANT integer := minute / 1440;
    day    integer;
BEGIN
    SELECT least(today, p.last_day) INTO day FROM penstock.partitions p WHERE p.first_day <= today ORDER BY p.first_day DESC LIMIT 1;
    IF day = today THEN
        PERFORM set_config('penstock.covered', minute::text, false);
    END IF;
    RETURN coalesce(day, (SELECT min(p.first_day) FROM penstock.partitions p));
END $$;
