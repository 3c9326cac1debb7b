-- Returns which rule and tags decide the priority of a job, and the result: the position of the
-- first rule that holds (null if none does; the queue's default is then the base), the tags that
-- shift the weight, the weight limited to 1 to 100, and the errors of skipped rules by position.
-- Indexes: the primary keys of priority_rules, priority_tags and queues.
CREATE OR REPLACE FUNCTION penstock.decide_priority(queue text, data jsonb, tags text[] DEFAULT NULL,
    OUT weight smallint, OUT rule smallint, OUT base smallint, OUT shifting text[], OUT errors jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    given   CONSTANT text[] := job_tags(decide_priority.data, tags);
    vars    CONSTANT jsonb := rule_moments(clock_timestamp()) || jsonb_build_object('tags', given);
    dated   jsonb;
    subject jsonb;
    one     record;
    answer  jsonb;
BEGIN
    errors := '{}';
    FOR one IN
        SELECT r.position, r.condition, r.condition::text ~ '\$"(now|ago_)' AS timed,
            CASE WHEN r.priority ~ '^\d+$' THEN r.priority::smallint ELSE l.weight END AS weight
        FROM priority_rules r LEFT JOIN priority_levels l ON l.level = r.priority
        WHERE r.queue = decide_priority.queue ORDER BY r.position
    LOOP
        subject := decide_priority.data;
        IF one.timed THEN
            dated := coalesce(dated, epoch_times(decide_priority.data));
            subject := dated;
        END IF;
        BEGIN
            answer := jsonb_path_query_first(subject, one.condition, vars);
            IF answer IS NOT NULL AND answer NOT IN ('false', 'null') THEN
                IF one.weight IS NOT NULL THEN
                    rule := one.position;
                    base := one.weight;
                    EXIT;
                END IF;
                errors := errors || jsonb_build_object(one.position, 'its priority is neither a weight nor a known level');
            END IF;
        EXCEPTION WHEN OTHERS THEN -- an error of a condition must not fail an enqueue
            errors := errors || jsonb_build_object(one.position, left(SQLERRM, 500));
        END;
    END LOOP;
    base := coalesce(base, (SELECT q.default_priority FROM queues q WHERE q.queue = decide_priority.queue), 5);
    SELECT coalesce(array_agg(p.tag ORDER BY p.tag), '{}'), least(100, greatest(1, base + coalesce(sum(p.shift), 0)))
    INTO shifting, weight FROM priority_tags p WHERE p.tag = ANY (given);
END $$;
