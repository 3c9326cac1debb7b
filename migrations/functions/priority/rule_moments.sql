-- Returns the times that conditions of rules may use, as epoch milliseconds.
CREATE OR REPLACE FUNCTION penstock.rule_moments(moment timestamptz) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('now', m.ms, 'ago_1m', m.ms - 60000, 'ago_5m', m.ms - 300000,
        'ago_1h', m.ms - 3600000, 'ago_1d', m.ms - 86400000)
    FROM (SELECT trunc(extract(epoch FROM moment) * 1000) AS ms) m
$$;
