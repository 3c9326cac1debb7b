-- The data with every value that is an ISO 8601 date and time with a zone, as
-- JavaScript's toISOString() writes it, as epoch milliseconds: jsonpath of
-- Postgres 15 reads neither a Z nor fractions, and numbers compare with $ago_*.
-- Keys, and what is within a longer string, stay as they are. One pass: data may
-- be a long series of times.
CREATE OR REPLACE FUNCTION penstock.epoch_times(data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    a_time CONSTANT text := '(?<!\\)("\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)")(?!:)';
BEGIN
    RETURN (SELECT string_agg(u.other || coalesce(penstock.epoch_of(u.found[1]), u.found[1], ''), '' ORDER BY u.nth)
        FROM ROWS FROM (regexp_split_to_table(data::text, a_time), regexp_matches(data::text, a_time, 'g'))
            WITH ORDINALITY u(other, found, nth))::jsonb;
END $$;
