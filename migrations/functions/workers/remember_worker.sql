-- Trigger: keeps a worker that left or was buried in past_workers, as long as its attempts are
-- kept. Each call also deletes some entries that are older.
CREATE OR REPLACE FUNCTION penstock.remember_worker() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    INSERT INTO past_workers (id, started_at, pid, concurrency, host, version, queues)
    VALUES (OLD.id, OLD.started_at, OLD.pid, OLD.concurrency, OLD.host, OLD.version, OLD.queues);
    DELETE FROM past_workers p WHERE p.id = ANY (ARRAY(
        SELECT o.id FROM past_workers o
        WHERE o.ended_at < clock_timestamp() - interval '2 days' - (SELECT s.retention FROM settings s)
        ORDER BY o.ended_at LIMIT 100 FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER remembered AFTER DELETE ON penstock.workers FOR EACH ROW EXECUTE FUNCTION penstock.remember_worker();
