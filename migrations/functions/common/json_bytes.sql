-- Returns the length of a JSON value as text; null if it holds numbers of more than 400 digits. A
-- kilobyte of such numbers (1e131071) is over a megabyte of text. A value of 2,000 bytes or less
-- may cost that, a larger one must not, so it is not written out. A value of 128 bytes or less is
-- not written out either; its own size is returned. It holds at most seven such numbers, which is
-- less than the limit of 1,048,576 that callers compare with.
CREATE OR REPLACE FUNCTION penstock.json_bytes(value jsonb) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN pg_column_size(value) <= 128 THEN pg_column_size(value)
        WHEN pg_column_size(value) <= 2000 OR NOT jsonb_path_exists(value,
            'strict $.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))')
        THEN octet_length(value::text) END
$$;
