-- Returns data with every date and time as epoch milliseconds, if it is ISO 8601 with a zone, as
-- JavaScript's toISOString() writes it. jsonpath of Postgres 15 reads neither a Z nor fractions,
-- and numbers compare with $ago_*. Keys, and times inside a longer text, stay as they are. It
-- needs one pass, because data may be a long series of times.
CREATE OR REPLACE FUNCTION penstock.epoch_times(data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    a_time CONSTANT text := '(?<!\\)("\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)")(?!:)';
BEGIN
    RETURN (SELECT string_agg(u.other || coalesce(penstock.epoch_of(u.found[1]), u.found[1], ''), '' ORDER BY u.nth)
        FROM ROWS FROM (regexp_split_to_table(data::text, a_time), regexp_matches(data::text, a_time, 'g'))
            WITH ORDINALITY u(other, found, nth))::jsonb;
END $$;
