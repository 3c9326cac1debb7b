-- Returns the epoch milliseconds of a quoted JSON text that looks like a time; null if it is none.
CREATE OR REPLACE FUNCTION penstock.epoch_of(quoted text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN trunc(extract(epoch FROM trim('"' FROM quoted)::timestamptz) * 1000)::text;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
