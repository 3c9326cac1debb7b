-- Whether an error class matches one of the patterns, in which * stands for any text.
CREATE OR REPLACE FUNCTION penstock.class_matches(class text, patterns text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
        WHERE class LIKE replace(replace(replace(replace(p, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
$$;
