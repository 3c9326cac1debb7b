-- Returns the weight of a priority as callers give it: a weight from 1 to 100, the name of a
-- level, or an object with weight or level. Null stays null.
CREATE OR REPLACE FUNCTION penstock.priority_weight(priority jsonb, job bigint DEFAULT NULL) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    asked  jsonb := CASE jsonb_typeof(priority) WHEN 'object' THEN
        coalesce(nullif(priority -> 'weight', 'null'), priority -> 'level') ELSE priority END;
    word   text := asked #>> '{}';
    weight smallint;
BEGIN
    IF priority IS NULL OR priority = 'null' THEN
        RETURN NULL;
    END IF;
    IF word ~ '^\d{1,3}$' AND word::integer BETWEEN 1 AND 100 THEN
        RETURN word;
    END IF;
    SELECT l.weight INTO weight FROM penstock.priority_levels l WHERE l.level = word;
    IF weight IS NULL THEN
        PERFORM penstock.refuse('priority', 'a weight from 1 to 100 or one of '
            || (SELECT string_agg(l.level, ', ' ORDER BY l.weight) FROM penstock.priority_levels l), word, job);
    END IF;
    RETURN weight;
END $$;
