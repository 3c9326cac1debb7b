-- Deletes samples that settings keep no longer, up to max_rows of each kind, and returns how many;
-- call it until it returns 0. A minute stays until its hour is rolled up.
CREATE OR REPLACE FUNCTION penstock.prune_metrics(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    kept    record;
    deleted integer;
    gone    integer := 0;
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000000 THEN
        PERFORM refuse('max_rows', '1 to 1000000', max_rows::text);
    END IF;
    FOR kept IN
        SELECT k.step, least(clock_timestamp() - k.span, s.rolled_to) AS since
        FROM settings t CROSS JOIN sampling s
        CROSS JOIN LATERAL (VALUES ('minute', t.minutes_kept), ('hour', t.hours_kept), ('day', t.days_kept)) k(step, span)
    LOOP
        DELETE FROM metric_samples m WHERE m.ctid = ANY (ARRAY(SELECT o.ctid FROM metric_samples o
            WHERE o.step = kept.step AND o.at < kept.since ORDER BY o.at LIMIT max_rows FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS deleted = ROW_COUNT;
        gone := gone + deleted;
        DELETE FROM latency_samples l WHERE l.ctid = ANY (ARRAY(SELECT o.ctid FROM latency_samples o
            WHERE o.step = kept.step AND o.at < kept.since ORDER BY o.at LIMIT max_rows FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS deleted = ROW_COUNT;
        gone := gone + deleted;
    END LOOP;
    RETURN gone;
END $$;
