-- Returns whether an error class matches one of the patterns; * in a pattern matches any text.
CREATE OR REPLACE FUNCTION penstock.class_matches(class text, patterns text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
        WHERE class LIKE replace(replace(replace(replace(p, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
$$;
