-- Sets the rule at a position in a queue's order. A null condition removes it.
CREATE OR REPLACE FUNCTION penstock.set_rule(queue text, "position" integer, condition text, priority text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    path jsonpath;
BEGIN
    PERFORM check_name('queue', set_rule.queue);
    IF set_rule.position IS NULL OR set_rule.position NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('position', '1 to 1000', set_rule.position::text);
    END IF;
    DELETE FROM priority_rule_errors e WHERE e.queue = set_rule.queue AND e.position = set_rule.position;
    IF set_rule.condition IS NULL THEN
        DELETE FROM priority_rules r WHERE r.queue = set_rule.queue AND r.position = set_rule.position;
        RETURN;
    END IF;
    IF length(set_rule.condition) > 2000 THEN
        PERFORM refuse('condition', 'a jsonpath of at most 2000 characters', set_rule.condition);
    END IF;
    BEGIN
        path := set_rule.condition::jsonpath;
    EXCEPTION WHEN OTHERS THEN -- bad syntax, a bad regular expression, what Postgres does not implement
        PERFORM refuse('condition', 'a jsonpath (' || SQLERRM || ')', set_rule.condition);
    END;
    BEGIN
        PERFORM jsonb_path_query_first('{}', path, rule_moments(now()) || '{"tags": []}', true);
    EXCEPTION WHEN undefined_object THEN
        PERFORM refuse('condition', 'a jsonpath with no variables but $now, $ago_1m, $ago_5m, $ago_1h, $ago_1d, $tags',
            set_rule.condition);
    WHEN OTHERS THEN
        NULL; -- it may still hold for other data
    END;
    -- Evaluating it over {} does not reach every variable.
    IF EXISTS (SELECT FROM regexp_matches(path::text, '\$"([^"]*)"', 'g') v
               WHERE v[1] NOT IN ('now', 'ago_1m', 'ago_5m', 'ago_1h', 'ago_1d', 'tags')) THEN
        PERFORM refuse('condition', 'a jsonpath with no variables but $now, $ago_1m, $ago_5m, $ago_1h, $ago_1d, $tags',
            set_rule.condition);
    END IF;
    PERFORM priority_weight(coalesce(to_jsonb(set_rule.priority), '""'));
    INSERT INTO priority_rules VALUES (set_rule.queue, set_rule.position, path, set_rule.priority)
    ON CONFLICT (queue, position) DO UPDATE SET condition = excluded.condition, priority = excluded.priority;
END $$;
