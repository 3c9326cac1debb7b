-- Finds jobs that satisfy a filter, newest id first. It returns up to max_rows and reads at most
-- max_scanned, with ids below before_id (null: from the newest). filter has queue, state, name,
-- tag, class (of the last error), enqueuedFrom, enqueuedTo, data. more is true if there may be
-- others below last_id. A filter by waiting, scheduled, retrying, running or dead reads only jobs
-- of that state. Rows come in the order of an index, so a page is read no further than it needs.
CREATE OR REPLACE FUNCTION penstock.find_jobs(filter jsonb, before_id bigint, max_rows integer, max_scanned integer,
    OUT ids bigint[], OUT more boolean, OUT last_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    f      CONSTANT jsonb := check_filter(filter, '{queue,state,name,tag,class}', '{enqueuedFrom,enqueuedTo}', '{}');
    state  CONSTANT text := f ->> 'state';
    path   CONSTANT jsonpath := (f ->> 'data')::jsonpath;
    top    CONSTANT bigint := coalesce(least(before_id - 1, 9007199254740991), 9007199254740991);
    source text;
BEGIN
    source := CASE
        WHEN state IN ('waiting', 'scheduled', 'retrying') THEN 'SELECT t.job_id AS id, t.queue FROM pending t'
        WHEN state = 'running' THEN 'SELECT t.job_id AS id, t.queue FROM running t'
        WHEN state = 'dead' THEN 'SELECT t.job_id AS id, t.queue FROM dead_jobs t'
        WHEN state IS NULL OR state IN ('completed', 'cancelled', 'expired', 'redriven', 'purged') THEN
            'SELECT t.id, t.queue FROM jobs t' END;
    IF source IS NULL THEN
        PERFORM refuse('filter.state', 'waiting, scheduled, retrying, running, completed, cancelled, expired, dead, redriven or purged', state);
    END IF;
    -- The last row that may be read; null when the rest is fewer.
    EXECUTE format('SELECT p.id FROM (%s) p WHERE p.id <= $1 ORDER BY p.id DESC OFFSET $2 - 1 LIMIT 1', source)
    INTO last_id USING top, max_scanned;
    more := last_id IS NOT NULL;
    -- The state is read row by row: a join would read the whole view.
    EXECUTE format('
        SELECT coalesce(array_agg(m.id ORDER BY m.id DESC), ''{}'') FROM (
            SELECT p.id FROM (%s) p JOIN jobs j ON j.id = p.id AND j.queue = p.queue
            WHERE p.id BETWEEN $1 AND $2
              AND ($3 ->> ''queue'' IS NULL OR p.queue = $3 ->> ''queue'')
              AND ($3 ->> ''name'' IS NULL OR j.name = $3 ->> ''name'')
              AND ($3 ->> ''tag'' IS NULL OR j.tags @> ARRAY[$3 ->> ''tag''])
              AND ($3 ->> ''enqueuedFrom'' IS NULL OR j.enqueued_at >= ($3 ->> ''enqueuedFrom'')::timestamptz)
              AND ($3 ->> ''enqueuedTo'' IS NULL OR j.enqueued_at < ($3 ->> ''enqueuedTo'')::timestamptz)
              AND ($4 IS NULL OR data_matches(j.data, $4))
              AND ($3 ->> ''state'' IS NULL OR $3 ->> ''state'' =
                  (SELECT i.state FROM job_states i WHERE i.id = p.id AND i.queue = p.queue))
              AND ($3 ->> ''class'' IS NULL OR $3 ->> ''class'' = (SELECT a.error_class FROM attempts a
                  WHERE a.job_id = p.id AND a.queue = p.queue AND a.error_class IS NOT NULL ORDER BY a.attempt DESC LIMIT 1))
            ORDER BY p.id DESC LIMIT $5) m', source)
    INTO ids USING coalesce(last_id, 0), top, f, path, max_rows;
    IF cardinality(ids) = max_rows THEN
        more := true;
        last_id := ids[max_rows];
    END IF;
END $$;
