-- Whether data satisfies a jsonpath: a predicate that is true, or a path that finds
-- something. What raises an error does not; times without a zone are in the
-- session's, since comparing them without _tz is an error that nothing silences.
CREATE OR REPLACE FUNCTION penstock.data_holds(data jsonb, path jsonpath) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_path_query_first_tz(data, path, '{}', true) NOT IN ('false', 'null'), false)
$$;
