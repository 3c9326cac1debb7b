-- Adds a level or changes its weight (1 to 100, each once). Weight 0 removes the level.
CREATE OR REPLACE FUNCTION penstock.set_level(level text, weight integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('level', set_level.level);
    IF set_level.level ~ '^\d+$' THEN
        PERFORM refuse('level', 'a name that is not a number', set_level.level);
    ELSIF set_level.weight IS NULL OR set_level.weight NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('weight', '1 to 100, or 0 to remove the level', set_level.weight::text);
    ELSIF set_level.weight = 0 THEN
        IF EXISTS (SELECT FROM priority_rules r WHERE r.priority = set_level.level) THEN
            PERFORM refuse('level', 'one that no rule uses', set_level.level);
        ELSIF NOT EXISTS (SELECT FROM priority_levels l WHERE l.level <> set_level.level) THEN
            PERFORM refuse('level', 'another than the last one', set_level.level);
        END IF;
        DELETE FROM priority_levels l WHERE l.level = set_level.level;
        RETURN;
    ELSIF EXISTS (SELECT FROM priority_levels l WHERE l.weight = set_level.weight AND l.level <> set_level.level) THEN
        PERFORM refuse('weight', 'one that no other level has', set_level.weight::text);
    END IF;
    INSERT INTO priority_levels VALUES (set_level.level, set_level.weight)
    ON CONFLICT (level) DO UPDATE SET weight = excluded.weight;
END $$;
