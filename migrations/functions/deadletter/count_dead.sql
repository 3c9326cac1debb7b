-- Counts the dead jobs of a queue that satisfy a filter, up to most, and returns some of their ids.
CREATE OR REPLACE FUNCTION penstock.count_dead(queue text, filter jsonb, most integer DEFAULT 1000000,
    OUT jobs bigint, OUT sample bigint[], OUT capped boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    page      record;
    before_at timestamptz;
    before_id bigint;
BEGIN
    jobs := 0;
    sample := '{}';
    LOOP
        SELECT * INTO page FROM find_dead(count_dead.queue, filter, before_at, before_id, 10000, 10000);
        jobs := jobs + cardinality(page.ids);
        IF cardinality(sample) < 10 THEN
            sample := (sample || page.ids)[1:10];
        END IF;
        EXIT WHEN NOT page.more OR jobs >= most;
        before_at := page.last_at;
        before_id := page.last_id;
    END LOOP;
    capped := page.more;
END $$;
