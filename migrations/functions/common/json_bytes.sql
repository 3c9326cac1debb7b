-- The length of a JSON value as text, null if it holds numbers of more than 400
-- digits. A kilobyte of those (1e131071) is over a megabyte of text, which a value of
-- 2,000 bytes or less may cost and a larger one must not; so it is not written out.
-- Nor is a value of 128 bytes or less, whose own size stands for it: that holds seven
-- such numbers at most, which are less than the 1,048,576 that everybody asks about.
CREATE OR REPLACE FUNCTION penstock.json_bytes(value jsonb) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN pg_column_size(value) <= 128 THEN pg_column_size(value)
        WHEN pg_column_size(value) <= 2000 OR NOT jsonb_path_exists(value,
            'strict $.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))')
        THEN octet_length(value::text) END
$$;
