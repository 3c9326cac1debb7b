-- The options of one job, as read_options returns them.
CREATE TYPE penstock.job_options AS (
    priority smallint, run_at timestamptz, retry jsonb, max_attempts smallint, timeout interval,
    expires_at timestamptz, tags text[], idempotency_key text, trace_context text);
