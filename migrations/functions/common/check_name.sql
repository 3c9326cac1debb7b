-- Refuses a queue, name, tag or other name that is not 1 to 128 of the allowed characters.
-- argument is what the error names; job the position in a call of many.
CREATE OR REPLACE FUNCTION penstock.check_name(argument text, value text, job bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR value !~ '^[A-Za-z0-9._:/-]{1,128}$' THEN
        PERFORM penstock.refuse(argument, '1 to 128 of letters, digits and . _ - : /', value, job);
    END IF;
END $$;
