-- The epoch milliseconds of what looks like a time in JSON's quotes, null when it is none.
CREATE OR REPLACE FUNCTION penstock.epoch_of(quoted text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN trunc(extract(epoch FROM trim('"' FROM quoted)::timestamptz) * 1000)::text;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
