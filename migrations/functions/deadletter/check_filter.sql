-- Checks the keys and values of a filter and returns it without nulls. The keys in texts are
-- texts, those in times are times, those in flags are booleans; data is a jsonpath.
CREATE OR REPLACE FUNCTION penstock.check_filter(filter jsonb, texts text[], times text[], flags text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    field text;
    value jsonb;
BEGIN
    IF filter IS NULL OR filter = 'null' THEN
        RETURN '{}';
    ELSIF jsonb_typeof(filter) <> 'object' THEN
        PERFORM penstock.refuse('filter', 'a JSON object', jsonb_typeof(filter));
    END IF;
    FOR field, value IN SELECT f.key, f.value FROM jsonb_each(jsonb_strip_nulls(filter)) f LOOP
        IF field = ANY (texts) THEN
            IF jsonb_typeof(value) <> 'string' OR length(value #>> '{}') NOT BETWEEN 1 AND 256 THEN
                PERFORM penstock.refuse('filter.' || field, 'a text of 1 to 256 characters', value::text);
            END IF;
        ELSIF field = ANY (times) THEN
            BEGIN
                -- Kept with its zone: the session that continues with the filter may have another one.
                filter := jsonb_set(filter, ARRAY[field], to_jsonb((value #>> '{}')::timestamptz));
            EXCEPTION WHEN data_exception THEN
                PERFORM penstock.refuse('filter.' || field, 'a timestamp such as 2026-01-31T12:00:00Z', value::text);
            END;
        ELSIF field = ANY (flags) THEN
            IF jsonb_typeof(value) <> 'boolean' THEN
                PERFORM penstock.refuse('filter.' || field, 'true or false', value::text);
            END IF;
        ELSIF field = 'data' THEN
            BEGIN
                PERFORM jsonb_path_query_first('{}', (value #>> '{}')::jsonpath, '{}', true);
            EXCEPTION WHEN undefined_object THEN
                PERFORM penstock.refuse('filter.data', 'a jsonpath without variables', value #>> '{}');
            WHEN OTHERS THEN
                PERFORM penstock.refuse('filter.data', 'a jsonpath (' || SQLERRM || ')', value #>> '{}');
            END;
        ELSE
            PERFORM penstock.refuse('filter', 'of ' || array_to_string(texts || times || flags || '{data}', ', '), field);
        END IF;
    END LOOP;
    RETURN jsonb_strip_nulls(filter);
END $$;
