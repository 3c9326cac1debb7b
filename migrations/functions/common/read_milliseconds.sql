-- Returns a whole or fractional number of milliseconds as an interval. Null stays null.
CREATE OR REPLACE FUNCTION penstock.read_milliseconds(argument text, value jsonb, least_ms float8, job bigint DEFAULT NULL)
RETURNS interval LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    most CONSTANT float8 := 3153600000000;
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(value) <> 'number' OR value::numeric NOT BETWEEN least_ms::numeric AND most::numeric THEN
        PERFORM penstock.refuse(argument, format('milliseconds from %s to %s (100 years)', least_ms, most::bigint), value::text, job);
    END IF;
    -- Rounded, since a number too small for a float does not become 0 by itself.
    RETURN make_interval(secs => round(value::numeric, 6)::float8 / 1000);
END $$;
