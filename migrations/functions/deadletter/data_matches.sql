-- Returns whether data satisfies a jsonpath: a predicate that is true, or a path that finds
-- something. Errors count as false. Times without a zone are in the session's zone, because
-- comparing them without _tz is an error that nothing suppresses.
CREATE OR REPLACE FUNCTION penstock.data_matches(data jsonb, path jsonpath) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_path_query_first_tz(data, path, '{}', true) NOT IN ('false', 'null'), false)
$$;
