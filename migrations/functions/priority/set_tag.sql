-- Adds a tag or changes its shift (-99 to 99); shift 0 removes it.
CREATE OR REPLACE FUNCTION penstock.set_tag(tag text, shift integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('tag', set_tag.tag);
    IF set_tag.shift IS NULL OR set_tag.shift NOT BETWEEN -99 AND 99 THEN
        PERFORM refuse('shift', '-99 to 99', set_tag.shift::text);
    ELSIF set_tag.shift = 0 THEN
        DELETE FROM priority_tags t WHERE t.tag = set_tag.tag;
        RETURN;
    END IF;
    INSERT INTO priority_tags VALUES (set_tag.tag, set_tag.shift)
    ON CONFLICT (tag) DO UPDATE SET shift = excluded.shift;
END $$;
