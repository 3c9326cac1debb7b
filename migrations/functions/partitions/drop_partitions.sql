-- Drops the oldest partition that is not needed any more and returns its first day. Null: there
-- is none, or a lock was not granted within 100 ms; call it again later. A partition is dropped
-- when its days are past the retention, none of its jobs waits or runs, and its newest attempt
-- is past the retention. The newest partition stays.
-- Locks: first an advisory lock (one session at a time), then the two partitions in SHARE mode
-- while one statement decides, and last jobs and attempts in ACCESS EXCLUSIVE mode, for the
-- moment that a detach takes. A transaction that reads jobs keeps the partition, and is not
-- blocked by the attempt. lock_timeout is 100 ms.
CREATE OR REPLACE FUNCTION penstock.drop_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET lock_timeout = '100ms' SET jit = off AS $$
DECLARE
    today  integer := floor(extract(epoch FROM clock_timestamp()) / 86400);
    keep   interval := (SELECT s.retention FROM settings s);
    old    record;
    needed boolean;
BEGIN
    -- What is decided after waiting for a lock must see what was committed before it (P1).
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'drop_partitions must run in a READ COMMITTED transaction, not %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'PN412', HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED; SELECT penstock.drop_partitions(); COMMIT;';
    END IF;
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
