-- Returns whether a redrive may go on after its canary: null while a job of the canary is under
-- way, true if fewer than the share died of one error, else false.
CREATE OR REPLACE FUNCTION penstock.canary_passed(r penstock.redrives) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM penstock.pending p WHERE p.job_id = ANY (r.canary_ids) AND p.queue = r.queue)
          OR EXISTS (SELECT FROM penstock.running u WHERE u.job_id = ANY (r.canary_ids) AND u.queue = r.queue) THEN NULL
        ELSE coalesce((SELECT max(g.n) FROM (SELECT count(*) AS n FROM penstock.dead_jobs d
                WHERE d.job_id = ANY (r.canary_ids) AND d.queue = r.queue GROUP BY d.fingerprint) g), 0)
            < r.canary_share * cardinality(r.canary_ids) END
$$;
