-- The rows of preview_policy.
CREATE OR REPLACE VIEW penstock.retry_previews AS
SELECT r.failures, (r.deadline - r.claimed_at)::interval AS least, (r.deadline - r.claimed_at)::interval AS usual,
    (r.deadline - r.claimed_at)::interval AS most, (r.deadline - r.claimed_at)::interval AS usual_total
FROM penstock.running r WHERE false;
