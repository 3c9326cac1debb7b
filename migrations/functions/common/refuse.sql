-- Raises the error for invalid input: SQLSTATE PN400, the argument in the COLUMN field, and what is
-- allowed in the message.
CREATE OR REPLACE FUNCTION penstock.refuse(argument text, allowed text, got text, job bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PN400', COLUMN = argument,
        MESSAGE = format('%s must be %s, got %s', argument, allowed,
            coalesce(CASE WHEN length(got) > 80 THEN left(got, 77) || '...' ELSE got END, 'nothing')),
        DETAIL = coalesce('Job ' || job || ' of the call.', '');
END $$;
