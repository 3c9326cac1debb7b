package main

// Who may do what. A test compares both tables with the catalog, so a migration that
// brings a function, table or view fails it until somebody has decided here.

type functionGrant struct {
	signature string // as pg_proc spells the argument types
	to        duty
}

var functions = []functionGrant{
	{"enqueue(text, text, jsonb, text, interval, timestamp with time zone, jsonb, integer, interval, interval, text[], text, text, boolean)", producer},
	{"enqueue(text, text, jsonb, integer, interval, timestamp with time zone, jsonb, integer, interval, interval, text[], text, text, boolean)", producer},
	{"enqueue_many(text, text[], jsonb[], jsonb[], boolean)", producer},
	{"enqueue_many(text, jsonb, boolean)", producer},

	{"register_worker(text[], text, integer, text, integer)", worker},
	{"heartbeat(bigint)", worker},
	{"claim(text, bigint, integer, interval, timestamp with time zone, smallint, smallint[], timestamp with time zone[], bigint[])", worker},
	{"next_due(text, boolean)", worker},
	{"fall_asleep(text)", worker},
	{"wake_up(text)", worker},
	{"finish(text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[])", worker},
	{"complete(text, bigint, integer, jsonb)", worker},
	{"release_unheld(text, bigint, bigint[])", worker},
	{"leave(bigint)", worker},

	{"bury(bigint, bigint)", worker},
	{"bury_orphans()", worker},
	{"fail_overdue(interval)", worker},
	{"expire_jobs(integer)", worker},
	{"prune_keys(integer)", worker},
	{"ensure_partitions(integer)", worker},
	{"drop_partitions()", worker},

	{"cancel(bigint)", operator},
	{"effective_policy(text, text, jsonb, smallint)", operator},
	{"retry_delay(text, interval, double precision, interval, double precision, integer, double precision)", operator},

	{"check_name(text, text, bigint)", nobody},
	{"check_retry(jsonb, bigint)", nobody},
	{"class_matches(text, text[])", nobody},
	{"fingerprint(text, text)", nobody},
	{"hold_keys(text, text[], bigint[])", nobody},
	{"job_day()", nobody},
	{"lanes(text)", nobody},
	{"partition_name(text, integer)", nobody},
	{"priority_weight(jsonb, bigint)", nobody},
	{"read_milliseconds(text, jsonb, double precision, bigint)", nobody},
	{"read_options(jsonb, timestamp with time zone, bigint)", nobody},
	{"refuse(text, text, text, bigint)", nobody},
	{"settle(text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[])", nobody},
	{"settle_all(penstock.running[], text, text, text)", nobody},
	{"wake(text)", nobody},
}

type relationGrant struct {
	name   string
	grants []tableGrant // none: only functions touch it
}

// tableGrant is what may be done, with the columns where not all of them are meant.
// A column list leaves out what a later migration adds until somebody adds it here.
type tableGrant struct {
	privileges string
	to         duty
}

const readWrite = "SELECT, INSERT, UPDATE, DELETE"

var relations = []relationGrant{
	// Every command first asks whether the schema fits it.
	{"schema_migrations", []tableGrant{{"SELECT", everyone}}},

	// A worker looks for peers that stopped beating, and counts what is left to drain.
	{"workers", []tableGrant{{"SELECT (id, beat)", worker}, {"SELECT", operator | reporter}}},
	{"pending", []tableGrant{{"SELECT", worker | operator | reporter}}},
	{"running", []tableGrant{{"SELECT", worker | operator | reporter}}},

	// What a job or its error says stays with the operator: data, message, detail,
	// result, and the keys and trace contexts that callers chose.
	{"jobs", []tableGrant{
		{"SELECT", operator},
		{"SELECT (id, enqueued_at, expires_at, timeout, origin_id, generation, asked_priority, max_attempts, " +
			"queue, name, tags, retry)", reporter},
	}},
	{"attempts", []tableGrant{
		{"SELECT", operator},
		{"SELECT (job_id, run_at, claimed_at, finished_at, worker_id, attempt, priority, queue, name, outcome, " +
			"error_class, fingerprint)", reporter},
	}},
	{"dead_jobs", []tableGrant{
		{"SELECT (queue)", worker},
		{"SELECT", operator},
		{"SELECT (job_id, enqueued_at, failed_at, next_retry_at, timeout, origin_id, attempt, failures, generation, " +
			"crashes, priority, asked_priority, max_attempts, can_retry, queue, name, reason, error_class, fingerprint, " +
			"tags, retry)", reporter},
	}},
	{"job_states", []tableGrant{{"SELECT", operator | reporter}}},
	{"leases", []tableGrant{{"SELECT", operator}}},
	{"idempotency_keys", []tableGrant{{"SELECT", operator}}},

	// Policy is data, and setting it is the operator's.
	{"queues", []tableGrant{{readWrite, operator}, {"SELECT", reporter}}},
	{"retry_policies", []tableGrant{{readWrite, operator}, {"SELECT", reporter}}},
	{"priority_levels", []tableGrant{{readWrite, operator}, {"SELECT", reporter}}},
	{"settings", []tableGrant{{"SELECT, UPDATE", operator}, {"SELECT", reporter}}},
	{"partitions", []tableGrant{{"SELECT", operator | reporter}}},

	{"endings", nil},
}
