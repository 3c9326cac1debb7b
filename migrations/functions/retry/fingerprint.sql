-- Groups errors that are one error: 16 hex digits over the class and the message
-- with quoted text, ids (8 or more hex digits with a decimal one) and numbers (0x too) blanked.
CREATE OR REPLACE FUNCTION penstock.fingerprint(class text, message text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT left(md5(class || E'\n' || regexp_replace(regexp_replace(regexp_replace(left(message, 1000),
        '"[^"]*"|`[^`]*`|(?<![[:alnum:]])''[^'']*''', '""', 'g'),
        '0x[[:xdigit:]]+|(?=[[:xdigit:]-]*\d)[[:xdigit:]-]{8,}', '#', 'g'),
        '\d+', '#', 'g')), 16)
$$;
