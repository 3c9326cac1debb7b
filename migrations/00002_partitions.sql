-- Partitions of jobs and attempts by the day in the id: made ahead, found for a
-- new id, and dropped when nothing needs them. All of it runs as the schema's
-- owner (SECURITY DEFINER), so the runtime role owns nothing.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- The partitions that exist. It is read on every enqueue, so it is tiny; it is
-- written in the transaction that attaches or drops the tables.
CREATE TABLE penstock.partitions (
    first_day integer PRIMARY KEY,
    last_day  integer NOT NULL CHECK (last_day >= first_day)
);

-- +goose StatementBegin
-- The UTC day, in days since 1970, that new ids carry: today, or the newest day
-- before it that has a partition (nobody made newer ones), or the oldest there
-- is (the clock fell back). So enqueue never fails for want of a partition.
CREATE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        (SELECT least(today.day, p.last_day) FROM penstock.partitions p WHERE p.first_day <= today.day
         ORDER BY p.first_day DESC LIMIT 1),
        (SELECT min(p.first_day) FROM penstock.partitions p))::bigint
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::integer AS day) today
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Makes the partitions from today to days_ahead days ahead that are missing and
-- returns how many it made. A table is made standalone, with the bound as a
-- check, and then attached: that locks nobody's reads or writes out.
CREATE FUNCTION penstock.ensure_partitions(days_ahead integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET lock_timeout = '100ms' AS $$
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
    -- Two makers at once would name the same tables.
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
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.partition_name(kind text, first_day integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT kind || '_' || to_char(date '1970-01-01' + first_day, 'YYYYMMDD')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Drops the oldest partition that nothing needs any more and returns its first
-- day, or null when there is none or a lock was not had within 100 ms (ask
-- again later). A partition goes when its days are past retention, no job of it
-- waits or runs, and its newest attempt is past retention; the newest partition
-- stays. Its own tables are locked first, then one statement decides, and only
-- then the parents are locked, for the moment a detach takes: whoever holds a
-- transaction open on jobs keeps the partition, and is not kept waiting by it.
CREATE FUNCTION penstock.drop_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    today  integer := floor(extract(epoch FROM clock_timestamp()) / 86400);
    keep   interval := (SELECT s.retention FROM settings s);
    old    record;
    needed boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock'), hashtext('partitions')) THEN
        RETURN NULL;
    END IF;
    FOR old IN
        SELECT p.first_day, p.last_day, p.first_day * 100000000000 AS low, (p.last_day + 1) * 100000000000 AS high
        FROM partitions p
        WHERE p.last_day < today - extract(epoch FROM keep) / 86400
          AND p.first_day < (SELECT max(n.first_day) FROM partitions n)
        ORDER BY p.first_day
    LOOP
        EXECUTE format('LOCK TABLE %I, %I IN SHARE MODE',
            partition_name('jobs', old.first_day), partition_name('attempts', old.first_day));
        EXECUTE format('SELECT EXISTS (SELECT FROM pending WHERE job_id >= $1 AND job_id < $2)
                OR EXISTS (SELECT FROM running WHERE job_id >= $1 AND job_id < $2)
                OR EXISTS (SELECT FROM %I WHERE finished_at > clock_timestamp() - $3)',
                partition_name('attempts', old.first_day))
            INTO needed USING old.low, old.high, keep;
        CONTINUE WHEN needed;
        LOCK TABLE jobs, attempts IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('ALTER TABLE jobs DETACH PARTITION %I', partition_name('jobs', old.first_day));
        EXECUTE format('ALTER TABLE attempts DETACH PARTITION %I', partition_name('attempts', old.first_day));
        EXECUTE format('DROP TABLE %I, %I',
            partition_name('jobs', old.first_day), partition_name('attempts', old.first_day));
        DELETE FROM partitions p WHERE p.first_day = old.first_day;
        RETURN old.first_day;
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Raises the one error that bad input gets: SQLSTATE PN400, the argument in the
-- COLUMN field, and what is allowed in the message.
CREATE FUNCTION penstock.refuse(argument text, allowed text, got text, job bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PN400', COLUMN = argument,
        MESSAGE = format('%s must be %s, got %s', argument, allowed,
            coalesce(CASE WHEN length(got) > 80 THEN left(got, 77) || '...' ELSE got END, 'nothing')),
        DETAIL = coalesce('Job ' || job || ' of the call.', '');
END $$;
-- +goose StatementEnd

SELECT penstock.ensure_partitions();

-- +goose Down
DROP FUNCTION penstock.drop_partitions(), penstock.ensure_partitions(integer),
    penstock.partition_name(text, integer), penstock.job_day(), penstock.refuse(text, text, text, bigint);
DROP TABLE penstock.partitions;
