-- One answer per attempt given to finish. status is accepted, already_done (the attempt had ended
-- with that outcome before: a repeated call) or lease_lost (it ended otherwise, or was never
-- leased; nothing changed). outcome is the recorded one. state is what became of the job, and
-- run_at when it runs next.
CREATE OR REPLACE VIEW penstock.endings AS
SELECT r.job_id, r.attempt, ''::text AS status, a.outcome, d.reason AS state, d.next_retry_at AS run_at
FROM penstock.running r LEFT JOIN penstock.attempts a ON false LEFT JOIN penstock.dead_jobs d ON false WHERE false;
