-- Returns the weights of jobs that state no priority, in order. tags is null, or holds a JSON
-- array or null for each job. The error of a rule is recorded at most once a minute.
-- Locks: an advisory lock that is tried for and never waited for.
CREATE OR REPLACE FUNCTION penstock.decide_priorities(queue text, data jsonb[], tags jsonb[] DEFAULT NULL) RETURNS smallint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    weights smallint[];
    errors  jsonb[];
BEGIN
    SELECT array_agg(d.weight ORDER BY u.nth), array_agg(d.errors) FILTER (WHERE d.errors <> '{}') INTO weights, errors
    FROM unnest(decide_priorities.data, tags) WITH ORDINALITY u(data, tags, nth)
    CROSS JOIN LATERAL decide_priority(decide_priorities.queue, u.data,
        ARRAY(SELECT jsonb_array_elements_text(coalesce(u.tags, '[]')))) d;
    IF errors IS NOT NULL
        AND pg_try_advisory_xact_lock(hashtext('penstock rule'), hashtext(decide_priorities.queue)) THEN
        INSERT INTO priority_rule_errors AS e (queue, position, message, last_seen)
        SELECT DISTINCT ON (m.position) decide_priorities.queue, m.position::smallint, m.message, clock_timestamp()
        FROM unnest(errors) o CROSS JOIN LATERAL jsonb_each_text(o) m(position, message)
        WHERE NOT EXISTS (SELECT FROM priority_rule_errors x WHERE x.queue = decide_priorities.queue
            AND x.position = m.position::smallint AND x.last_seen > clock_timestamp() - interval '1 minute')
        ORDER BY m.position
        ON CONFLICT (queue, position) DO UPDATE SET message = excluded.message, last_seen = excluded.last_seen;
    END IF;
    RETURN weights;
END $$;
