-- Returns the group of an error: 16 hexadecimal digits over the class and the message, in which
-- quoted text, ids (8 or more hexadecimal digits with a decimal one) and numbers are blanked.
CREATE OR REPLACE FUNCTION penstock.fingerprint(class text, message text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT left(md5(class || E'\n' || regexp_replace(regexp_replace(regexp_replace(left(message, 1000),
        '"[^"]*"|`[^`]*`|(?<![[:alnum:]])''[^'']*''', '""', 'g'),
        '0x[[:xdigit:]]+|(?=[[:xdigit:]-]*\d)[[:xdigit:]-]{8,}', '#', 'g'),
        '\d+', '#', 'g')), 16)
$$;
