-- Sets the health thresholds of a queue (* is every queue). thresholds has columns of
-- health_thresholds, with durations in milliseconds; null removes the queue's own value.
CREATE OR REPLACE FUNCTION penstock.set_health_thresholds(queue text, thresholds jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    one   record;
    value text;
BEGIN
    IF set_health_thresholds.queue IS DISTINCT FROM '*' THEN
        PERFORM check_name('queue', set_health_thresholds.queue);
    END IF;
    IF coalesce(jsonb_typeof(thresholds), '') <> 'object' THEN
        PERFORM refuse('thresholds', 'a JSON object', thresholds::text);
    END IF;
    INSERT INTO health_thresholds (queue) SELECT set_health_thresholds.queue WHERE set_health_thresholds.queue <> '*' ON CONFLICT DO NOTHING;
    FOR one IN
        SELECT t.key, t.value, a.atttypid = 'interval'::regtype AS spans, a.attname, pg_get_constraintdef(c.oid) AS allowed
        FROM jsonb_each(thresholds) t
        LEFT JOIN pg_attribute a ON a.attrelid = 'penstock.health_thresholds'::regclass AND a.attname = t.key AND a.attnum > 1
        LEFT JOIN pg_constraint c ON c.conrelid = a.attrelid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]
    LOOP
        IF one.attname IS NULL THEN
            PERFORM refuse('thresholds', 'of those that health_thresholds has', one.key);
        ELSIF jsonb_typeof(one.value) NOT IN ('number', 'null') THEN
            PERFORM refuse(one.key, 'a number', one.value::text);
        ELSIF one.value = 'null' AND set_health_thresholds.queue = '*' THEN
            PERFORM refuse(one.key, 'set: nothing broader is there to take its place', 'null');
        END IF;
        BEGIN
            EXECUTE format('UPDATE health_thresholds SET %I = %s WHERE queue = $2', one.attname,
                CASE WHEN one.spans THEN 'make_interval(secs => ($1 #>> ''{}'')::float8 / 1000)'
                    ELSE format('($1 #>> ''{}'')::%s', (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
                        WHERE a.attrelid = 'penstock.health_thresholds'::regclass AND a.attname = one.attname)) END)
            USING one.value, set_health_thresholds.queue;
        EXCEPTION WHEN check_violation OR data_exception THEN
            PERFORM refuse(one.key, coalesce((regexp_match(one.allowed, '>= \(?''?([^'')]+)'))[1]
                || coalesce(' to ' || (regexp_match(one.allowed, '<= \(?''?([^'')]+)'))[1], ' or more'), 'another'), one.value::text);
        END;
    END LOOP;
    DELETE FROM health_thresholds t WHERE t.queue = set_health_thresholds.queue AND jsonb_strip_nulls(to_jsonb(t)) - 'queue' = '{}';
END $$;
