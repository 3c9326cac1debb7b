-- Returns the worst severity of the given ones.
CREATE OR REPLACE FUNCTION penstock.health_status(severities text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN 'critical' = ANY (severities) THEN 'critical' WHEN 'warning' = ANY (severities) THEN 'warning' ELSE 'healthy' END
$$;
