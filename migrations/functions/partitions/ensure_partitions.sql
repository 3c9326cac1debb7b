-- Creates the partitions that are missing from today to days_ahead days ahead and returns how
-- many it created. A table is created alone, with the bound as a check constraint, and then
-- attached, so that reads and writes of jobs are not blocked.
-- Locks: an advisory lock (one session at a time); SHARE UPDATE EXCLUSIVE on jobs and attempts.
CREATE OR REPLACE FUNCTION penstock.ensure_partitions(days_ahead integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET lock_timeout = '100ms' SET jit = off AS $$
DECLARE
    today  integer := floor(extract(epoch FROM clock_timestamp()) / 86400);
    span   integer := (SELECT s.partition_days FROM settings s);
    day    integer := today;
    last   integer;
    made   integer := 0;
    kind   text;
    bounds text;
BEGIN
    IF days_ahead IS NULL OR days_ahead NOT BETWEEN 0 AND 366 THEN
        PERFORM refuse('days_ahead', '0 to 366', days_ahead::text);
    END IF;
    -- Two sessions at once would create the same tables.
    PERFORM pg_advisory_xact_lock(hashtext('penstock'), hashtext('partitions'));
    WHILE day <= today + days_ahead LOOP
        SELECT p.last_day INTO last FROM partitions p WHERE p.first_day <= day AND p.last_day >= day;
        IF found THEN
            day := last + 1;
            CONTINUE;
        END IF;
        SELECT min(p.first_day) - 1 INTO last FROM partitions p WHERE p.first_day > day;
        last := least(coalesce(last, day + span - 1), day + span - 1);
        FOREACH kind IN ARRAY ARRAY['jobs', 'attempts'] LOOP
            bounds := format('%1$s >= %2$s AND %1$s < %3$s', CASE kind WHEN 'jobs' THEN 'id' ELSE 'job_id' END,
                day * 100000000000, (last + 1) * 100000000000);
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL, CHECK (%s))',
                partition_name(kind, day), kind, bounds);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                kind, partition_name(kind, day), day * 100000000000, (last + 1) * 100000000000);
        END LOOP;
        INSERT INTO partitions VALUES (day, last);
        made := made + 1;
        day := last + 1;
    END LOOP;
    RETURN made;
END $$;
