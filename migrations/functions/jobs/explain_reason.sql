-- Returns one reason of explain as an array of one object: its code, whether it blocks the
-- job, a message, and the facts that are not null.
CREATE OR REPLACE FUNCTION penstock.explain_reason(code text, blocks boolean, message text, facts jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_array(jsonb_build_object('code', code, 'blocks', blocks, 'message', message, 'facts', jsonb_strip_nulls(facts)))
$$;
