-- Finds dead jobs that satisfy a filter, newest first. It returns up to max_rows and reads at
-- most max_scanned, from behind the key (before_at, before_id) on, of one queue or of all (null).
-- more is true if there may be others behind (last_at, last_id). filter has reason, class,
-- fingerprint, name, tag, failedFrom (at or after), failedTo (before), canRetry, data.
-- Indexes: dead_jobs_newest for one queue, dead_jobs_newest_of_all for all. Rows come in the
-- order of the index, so a page is read no further than it needs.
CREATE OR REPLACE FUNCTION penstock.find_dead(queue text, filter jsonb, before_at timestamptz, before_id bigint, max_rows integer,
    max_scanned integer, OUT ids bigint[], OUT attempts integer[], OUT more boolean, OUT last_at timestamptz,
    OUT last_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    f      CONSTANT jsonb := check_filter(filter, '{reason,class,fingerprint,name,tag}', '{failedFrom,failedTo}', '{canRetry}');
    path   CONSTANT jsonpath := (f ->> 'data')::jsonpath;
    since_ CONSTANT timestamptz := (f ->> 'failedFrom')::timestamptz;
    till   CONSTANT timestamptz := (f ->> 'failedTo')::timestamptz;
BEGIN
    -- The last row that may be read; null when the rest is fewer, or the page ends first.
    IF f - '{failedFrom,failedTo}'::text[] <> '{}' THEN
        SELECT d.failed_at, d.job_id INTO last_at, last_id FROM dead_jobs d
        WHERE (find_dead.queue IS NULL OR d.queue = find_dead.queue)
          AND (before_at IS NULL OR (d.failed_at, d.job_id) < (before_at, before_id))
          AND (till IS NULL OR d.failed_at < till) AND (since_ IS NULL OR d.failed_at >= since_)
        ORDER BY d.failed_at DESC, d.job_id DESC OFFSET max_scanned - 1 LIMIT 1;
    END IF;
    more := last_at IS NOT NULL;
    SELECT coalesce(array_agg(m.job_id ORDER BY m.failed_at DESC, m.job_id DESC), '{}'),
        coalesce(array_agg(m.attempt ORDER BY m.failed_at DESC, m.job_id DESC), '{}'),
        CASE WHEN count(*) = max_rows THEN min(m.failed_at) ELSE find_dead.last_at END
    INTO ids, attempts, last_at FROM (
        SELECT d.job_id, d.attempt, d.failed_at FROM dead_jobs d
        WHERE (find_dead.queue IS NULL OR d.queue = find_dead.queue)
          AND (before_at IS NULL OR (d.failed_at, d.job_id) < (before_at, before_id))
          AND (till IS NULL OR d.failed_at < till) AND (since_ IS NULL OR d.failed_at >= since_)
          AND (find_dead.last_at IS NULL OR (d.failed_at, d.job_id) >= (find_dead.last_at, last_id))
          AND (f ->> 'reason' IS NULL OR d.reason = f ->> 'reason')
          AND (f ->> 'class' IS NULL OR d.error_class = f ->> 'class')
          AND (f ->> 'fingerprint' IS NULL OR d.fingerprint = f ->> 'fingerprint')
          AND (f ->> 'name' IS NULL OR d.name = f ->> 'name')
          AND (f ->> 'tag' IS NULL OR d.tags @> ARRAY[f ->> 'tag'])
          AND (f -> 'canRetry' IS NULL OR d.can_retry = (f ->> 'canRetry')::boolean)
          AND (path IS NULL OR data_matches(d.data, path))
        ORDER BY d.failed_at DESC, d.job_id DESC LIMIT max_rows) m;
    -- A full page continues behind its last entry, another one behind the last row read.
    IF cardinality(ids) = max_rows THEN
        more := true;
        last_id := ids[max_rows];
    END IF;
END $$;
