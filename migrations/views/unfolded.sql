-- How many jobs each queue gained by the tallies that sample_metrics has not added up yet.
CREATE OR REPLACE VIEW penstock.unfolded AS
SELECT t.queue, sum(penstock.jobs_gained(t)) AS came, coalesce(sum(t.later), 0) AS later FROM penstock.tallies t GROUP BY t.queue;
