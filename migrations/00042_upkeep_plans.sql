-- penstock: serves binaries from schema 1 (v0.1.0)

-- What a function's statements are estimated to cost grows with the tables; what they
-- find to do does not. A plan beyond jit_above_cost was compiled for a few rows: beside
-- ten million waiting jobs expire_jobs compiled for 0.3 s of processor time to find that
-- none had expired, in each worker that started.

-- +goose Up
-- +goose StatementBegin
DO $do$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'penstock'::regnamespace AND p.prokind = 'f' AND p.proconfig::text LIKE '%search_path=%' AND p.proconfig::text NOT LIKE '%jit=%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET jit = off', f);
    END LOOP;
END
$do$;
-- +goose StatementEnd

-- Since nobody knows then what the LIMIT will be, the rest is planned for a tenth of all that wait.
ALTER FUNCTION penstock.expire_jobs(integer) SET enable_seqscan = off;
ALTER FUNCTION penstock.expire_jobs(integer) SET enable_hashjoin = off;
ALTER FUNCTION penstock.expire_jobs(integer) SET enable_mergejoin = off;

-- +goose StatementBegin
-- Releases what a worker has leased in one queue and does not hold: a claim whose
-- reply was lost. REQUIRES: no claim of this worker and queue is under way.
CREATE OR REPLACE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_hashjoin = on SET jit = off AS $$
    -- <> ALL would hold each of 10,000 running jobs against each of 10,000 that are held.
    -- Who holds a null does not know what it holds: nothing is released then.
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND (SELECT bool_or(h IS NULL) FROM unnest(held) h) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM unnest(held) h WHERE h = r.job_id) FOR UPDATE OF r SKIP LOCKED), 'released', '', '')
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND r.job_id <> ALL (coalesce(held, '{}')) FOR UPDATE SKIP LOCKED), 'released', '', '')
$$;
-- +goose StatementEnd

ALTER FUNCTION penstock.expire_jobs(integer) RESET enable_seqscan;
ALTER FUNCTION penstock.expire_jobs(integer) RESET enable_hashjoin;
ALTER FUNCTION penstock.expire_jobs(integer) RESET enable_mergejoin;

-- +goose StatementBegin
DO $do$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'penstock'::regnamespace AND p.prokind = 'f' AND p.proconfig::text LIKE '%jit=%' AND NOT p.proname = ANY (
            '{carried_states,claim,complete_many,database_health,enqueue_batch,find_dead,find_jobs,finish,fold_tallies,heartbeat,history,
            hold_keys,metrics_of,performance,purge_dead,queue_health,queue_metrics,redrive_entries,report_health,roll_up_metrics,sample_states,
            samples_between,settle,states_of,verify_jobs,verify_rest}')
          AND p.oid NOT IN (SELECT x::regprocedure FROM unnest(ARRAY['penstock.due_in(text[])', 'penstock.next_due(text,boolean,interval)',
              'penstock.enqueue_many(text,text[],jsonb[],jsonb[],boolean)']) x)
    LOOP
        EXECUTE format('ALTER FUNCTION %s RESET jit', f);
    END LOOP;
END
$do$;
-- +goose StatementEnd
