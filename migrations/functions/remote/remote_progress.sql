-- Records the progress of several attempts of a remote worker. It returns the jobs whose attempt
-- is not its any more; for these nothing changed.
CREATE OR REPLACE FUNCTION penstock.remote_progress(worker_id bigint, owner text, job_ids bigint[], attempts integer[],
    percents integer[], notes text[]) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM remote_beat(remote_progress.worker_id, remote_progress.owner);
    RETURN QUERY
    SELECT u.job_id FROM (SELECT * FROM unnest(job_ids, remote_progress.attempts, percents, notes)
            AS u(job_id, attempt, percent, note) ORDER BY u.job_id) u
    LEFT JOIN running r ON r.job_id = u.job_id AND r.attempt = u.attempt AND r.worker_id = remote_progress.worker_id
    WHERE r.job_id IS NULL OR NOT progress(r.queue, u.job_id, u.attempt, u.percent, coalesce(u.note, ''));
END $$;
