-- Returns the name of the partition of jobs or attempts (kind) that begins on first_day.
CREATE OR REPLACE FUNCTION penstock.partition_name(kind text, first_day integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT kind || '_' || to_char(date '1970-01-01' + first_day, 'YYYYMMDD')
$$;
