-- Two days and an hour in the life of two queues, for the queries of
-- docs/reporting.md. Everything is counted from today's midnight, UTC, or from now.
CREATE TEMP TABLE story (
    n integer, queue text, name text, priority integer, tags text[], enqueued_at timestamptz, attempt integer,
    worker text, run_at timestamptz, claimed_at timestamptz, finished_at timestamptz, outcome text, class text, message text, fate text);

-- The day before yesterday: a welcome every half hour, each quick, by version v1.
INSERT INTO story SELECT 1000 + i, 'mail', 'welcome', 5, '{tenant:acme}', m.at, 1, 'v1', m.at, m.at + interval '2 s',
    m.at + interval '2.2 s', 'completed', NULL, NULL, NULL
FROM generate_series(0, 47) i, LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '2 days' + i * interval '30 min' AS at) m;

-- Yesterday: a welcome every 12 minutes. At noon v2 is deployed, which takes 0.1 s instead
-- of 0.2 s. Every tenth fails first, and is retried a minute later. Every twentieth
-- (not one of these) waits 30 s instead of 2 s.
INSERT INTO story SELECT 2000 + i, 'mail', 'welcome', 5, ARRAY[CASE WHEN i % 3 = 0 THEN 'tenant:globex' ELSE 'tenant:acme' END], m.at, 1,
    CASE WHEN i < 60 THEN 'v1' ELSE 'v2' END, m.at, m.at + w.wait,
    m.at + w.wait + CASE WHEN i < 60 THEN interval '0.2 s' ELSE interval '0.1 s' END,
    CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'completed' END, CASE WHEN i % 10 = 0 THEN 'SMTPError' END,
    CASE WHEN i % 10 = 0 THEN 'mailbox is full' END, NULL
FROM generate_series(0, 119) i, LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '1 day' + i * interval '12 min' AS at) m,
    LATERAL (SELECT CASE WHEN i % 20 = 5 THEN interval '30 s' ELSE interval '2 s' END AS wait) w;
INSERT INTO story SELECT n, queue, name, priority, tags, enqueued_at, 2, worker, finished_at + interval '1 min',
    finished_at + interval '61 s', finished_at + interval '61.1 s', 'completed', NULL, NULL, NULL FROM story WHERE outcome = 'failed';

-- An encoding every hour, urgent and long, half past. Every sixth dies of it; of
-- these the first was redriven and completed, the second redriven and lost with its
-- worker, the third purged, and the last is dead.
INSERT INTO story SELECT 3000 + i, 'media', 'encode', 10, '{tenant:globex}', m.at, 1, CASE WHEN i < 12 THEN 'v1' ELSE 'v2' END,
    m.at, m.at + interval '1 s', m.at + interval '61 s', CASE WHEN i % 6 = 0 THEN 'failed' ELSE 'completed' END,
    CASE WHEN i % 6 = 0 THEN 'EncodeError' END, CASE WHEN i % 6 = 0 THEN 'no codec for ' || i END,
    CASE i WHEN 0 THEN 'redriven' WHEN 6 THEN 'redriven' WHEN 12 THEN 'purged' WHEN 18 THEN 'dead' END
FROM generate_series(0, 23) i, LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '1 day' + i * interval '1 h' + interval '30 min' AS at) m;
INSERT INTO story SELECT 4000 + i, 'media', 'encode', 10, '{tenant:globex}', m.at, 1, 'v2', m.at, m.at + interval '1 s', m.at + interval '31 s',
    CASE i WHEN 0 THEN 'completed' ELSE 'lost' END, CASE i WHEN 1 THEN 'WorkerLost' END, CASE i WHEN 1 THEN 'the worker stopped beating' END, NULL
FROM generate_series(0, 1) i, LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '1 min' AS at) m;

CREATE TEMP TABLE ids AS SELECT s.n, penstock.job_day() * 100000000000 + nextval('penstock.job_sequence') AS id
FROM (SELECT DISTINCT n FROM story ORDER BY n) s;
INSERT INTO ids SELECT g, penstock.job_day() * 100000000000 + nextval('penstock.job_sequence') FROM generate_series(1, 8) g;

INSERT INTO penstock.workers (version, host, pid, concurrency, queues, started_at) VALUES
    ('v1', 'ape', 11, 10, '{mail,media}', date_trunc('day', now(), 'UTC') - interval '2 days'),
    ('v2', 'bee', 12, 10, '{mail,media}', date_trunc('day', now(), 'UTC') - interval '12 h'),
    ('v2', 'cat', 13, 4, '{media}', now() - interval '1 h');
DELETE FROM penstock.workers WHERE version = 'v1';
CREATE TEMP TABLE crew AS SELECT DISTINCT ON (version) version, id FROM penstock.worker_versions ORDER BY version, id;

INSERT INTO penstock.jobs (id, enqueued_at, queue, name, data, tags, asked_priority, origin_id, generation)
SELECT DISTINCT ON (s.n) i.id, s.enqueued_at, s.queue, s.name, '{"secret": "of the customer"}', s.tags, s.priority,
    CASE s.n WHEN 4000 THEN (SELECT id FROM ids WHERE n = 3000) WHEN 4001 THEN (SELECT id FROM ids WHERE n = 3006) END, (s.n >= 4000)::integer
FROM story s JOIN ids i ON i.n = s.n ORDER BY s.n;
INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at, outcome, error_class, message, fingerprint, result)
SELECT i.id, s.attempt, s.queue, s.name, s.priority, c.id, s.run_at, s.claimed_at, s.finished_at, s.outcome, s.class, s.message,
    CASE WHEN s.class IS NOT NULL THEN penstock.fingerprint(s.class, s.message) END, CASE s.outcome WHEN 'completed' THEN '{"secret": "result"}'::jsonb END
FROM story s JOIN ids i ON i.n = s.n JOIN crew c ON c.version = s.worker;
INSERT INTO penstock.dead_jobs (job_id, enqueued_at, failed_at, attempt, failures, generation, crashes, priority, max_attempts, can_retry,
    queue, name, reason, error_class, message, fingerprint, handler_version, tags, retry_strategy, data, next_retry_at)
SELECT i.id, s.enqueued_at, s.finished_at, 1, 1, 0, 0, s.priority, 1, true, s.queue, s.name, 'exhausted', s.class, s.message,
    penstock.fingerprint(s.class, s.message), s.worker, s.tags, '{}', '{"secret": "of the customer"}', now() + interval '1 h'
FROM story s JOIN ids i ON i.n = s.n WHERE s.fate = 'dead';
INSERT INTO penstock.departures (job_id, departed_at, new_job_id, attempt, queue, how, actor)
SELECT i.id, date_trunc('day', now(), 'UTC') - interval '1 min', (SELECT id FROM ids WHERE n = s.n / 6 * 0 + 4000 + (s.n - 3000) / 6 AND s.fate = 'redriven'), 1, s.queue, s.fate, 'ann'
FROM story s JOIN ids i ON i.n = s.n WHERE s.fate IN ('redriven', 'purged');

-- Now: three welcomes are due, for 5, 4 and 3 minutes; one failed and is due in 10
-- minutes; two come in 90 and 200 minutes. Two encodings run, for 2 h and 10 s, and
-- the one that was lost waits.
INSERT INTO penstock.jobs (id, enqueued_at, queue, name, data, tags)
SELECT i.id, now() - interval '5 min', CASE WHEN i.n <= 6 THEN 'mail' ELSE 'media' END, CASE WHEN i.n <= 6 THEN 'welcome' ELSE 'encode' END,
    '{"secret": "of the customer"}', '{tenant:acme}' FROM ids i WHERE i.n <= 8;
INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
SELECT i.id, now() + p.due, p.failures, p.failures, 0, 5, 'mail', 'welcome'
FROM ids i JOIN (VALUES (1, interval '-5 min', 0), (2, '-4 min', 0), (3, '-3 min', 0), (4, '10 min', 1), (5, '90 min', 0), (6, '200 min', 0))
    p(n, due, failures) ON p.n = i.n;
INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
SELECT i.id, now() - interval '1 s', 1, 0, 1, 10, 'media', 'encode' FROM ids i WHERE i.n = 4001;
INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at, outcome, error_class, message, fingerprint)
SELECT i.id, 1, 'mail', 'welcome', 5, c.id, now() - interval '4 min', now() - interval '3 min', now() - interval '179 s', 'failed', 'SMTPError',
    'mailbox is full', penstock.fingerprint('SMTPError', 'mailbox is full') FROM ids i, crew c WHERE i.n = 4 AND c.version = 'v2';
INSERT INTO penstock.running (job_id, run_at, claimed_at, deadline, worker_id, attempt, failures, crashes, priority, progress, progress_note, queue, name)
SELECT i.id, now() - r.since - interval '1 s', now() - r.since, now() + interval '1 h', c.id, 1, 0, 0, 10, 40, 'the customer''s words', 'media', 'encode'
FROM ids i JOIN (VALUES (7, interval '2 h'), (8, '10 s')) r(n, since) ON r.n = i.n, crew c WHERE c.version = 'v2';
DROP TABLE story, ids, crew;

-- The same as the verbs tally it, summed up as servers do.
INSERT INTO penstock.tallies (at, claimed_at, jobs, dead, queue, name, outcome, run_ats, jobs_each)
SELECT a.finished_at, a.claimed_at, 1, d.job_id IS NOT NULL OR l.job_id IS NOT NULL, a.queue, a.name, a.outcome, ARRAY[a.run_at], ARRAY[1]
FROM penstock.attempts a LEFT JOIN penstock.dead_jobs d USING (job_id, queue, attempt) LEFT JOIN penstock.departures l USING (job_id, queue, attempt);
INSERT INTO penstock.tallies (at, jobs, queue, outcome) SELECT j.enqueued_at, 1, j.queue, 'enqueued' FROM penstock.jobs j;
SELECT penstock.sample_metrics();
