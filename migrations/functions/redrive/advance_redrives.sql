-- Continues one redrive that no other session is continuing, by the batch that its rate allows,
-- and returns how many jobs it redrove. Null: there is nothing to do now.
-- Index: redrives_under_way. Locks: the redrive's row, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.advance_redrives() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    r     redrives;
    page  record;
    fresh bigint[];
    room  integer;
    go_on boolean;
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT c.* INTO r FROM redrives c
    WHERE c.state = 'running' AND c.moved_at <= moment - greatest(interval '100 milliseconds', interval '1 second' / c.rate)
    ORDER BY c.moved_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    IF r.canary > 0 AND cardinality(r.canary_ids) > 0 THEN
        go_on := canary_passed(r);
        IF go_on IS NOT TRUE THEN
            UPDATE redrives c SET moved_at = moment, state = CASE WHEN go_on IS NULL THEN 'running' ELSE 'stopped' END,
                finished_at = CASE WHEN go_on IS NULL THEN NULL ELSE moment END,
                note = CASE WHEN go_on IS NULL THEN 'waiting for the canary' ELSE 'the canary died of one error; resume goes on all the same' END
            WHERE c.id = r.id;
            RETURN NULL;
        END IF;
        UPDATE redrives c SET canary = 0 WHERE c.id = r.id;
        r.canary := 0;
    END IF;
    -- As many as the rate allows since the last batch, at most a thousand.
    room := least(1000, greatest(1, floor(r.rate * least(extract(epoch FROM moment - r.moved_at), 1))::integer));
    IF r.canary > 0 THEN
        room := r.canary;
    END IF;
    BEGIN
        SELECT * INTO page FROM find_dead(r.queue, r.filter || jsonb_build_object('failedTo',
            least(r.died_before, (r.filter ->> 'failedTo')::timestamptz)), r.cursor_at, r.cursor_id, room, 10000);
        fresh := redrive_entries(page.ids, page.attempts, r.max_generation, NULL, r.id);
    EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
        RAISE;
    WHEN OTHERS THEN -- one that cannot continue must not stop the others
        UPDATE redrives c SET state = 'stopped', finished_at = moment, moved_at = moment, note = left(SQLERRM, 500)
        WHERE c.id = r.id;
        RETURN NULL;
    END;
    UPDATE redrives c SET redriven = c.redriven + cardinality(fresh),
        passed_over = c.passed_over + cardinality(page.ids) - cardinality(fresh),
        canary_ids = CASE WHEN r.canary > 0 THEN fresh ELSE c.canary_ids END,
        cursor_at = page.last_at, cursor_id = page.last_id, moved_at = moment,
        state = CASE WHEN page.more THEN 'running' ELSE 'done' END,
        finished_at = CASE WHEN page.more THEN NULL ELSE moment END, note = NULL
    WHERE c.id = r.id;
    RETURN cardinality(fresh);
END $$;
