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

	{"register_worker(text[], text, integer, text, integer, text[], integer[])", worker},
	{"heartbeat(bigint)", worker},
	{"claim(text, bigint, integer, interval, timestamp with time zone, smallint, smallint[], timestamp with time zone[], bigint[])", worker},
	{"horizon(text)", worker},
	{"next_due(text, boolean)", worker},
	{"next_due(text, boolean, interval)", worker},
	{"fall_asleep(text)", worker},
	{"wake_up(text)", worker},
	{"finish(text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[])", worker},
	{"complete_many(text, bigint[], integer[])", worker},
	{"complete(text, bigint, integer, jsonb)", worker},
	{"fail(text, bigint, integer, text, text, text, interval, boolean)", worker},
	{"snooze(text, bigint, integer, interval)", worker},
	{"release(text, bigint, integer)", worker},
	{"release_unheld(text, bigint, bigint[])", worker},
	{"leave(bigint)", worker},
	{"progress(text, bigint, integer, integer, text)", worker},

	{"bury(bigint, bigint)", worker},
	{"bury_orphans()", worker},
	{"fail_overdue(interval)", worker},
	{"expire_jobs(integer)", worker},
	{"prune_keys(integer)", worker},
	{"prune_replies(integer)", worker},
	{"prune_tallies()", worker},
	{"prune_departures(integer)", worker},
	{"ensure_partitions(integer)", worker},
	{"drop_partitions()", worker},
	{"process_scheduled_retries(text, integer)", worker | operator},
	{"advance_redrives()", worker},
	{"purge_expired_dead(integer)", worker},
	{"sample_metrics(integer)", worker},
	{"fold_metrics(integer, integer)", worker},
	{"roll_up_metrics()", worker},
	{"prune_metrics(integer)", worker},

	{"claim_task(text[], text, interval)", worker},
	{"extend_task(text, bigint, interval)", worker},
	{"finish_task(text, bigint, text, jsonb, text, text, text, timestamp with time zone)", worker},
	{"plan_task(text, text, text, timestamp with time zone, text)", worker | operator},
	{"prune_task_runs(interval)", worker},
	{"set_task(text, text, text, boolean, jsonb)", operator},
	{"run_task(text)", operator},

	{"queue_health(text)", operator | reporter},
	{"database_health()", operator},
	{"report_health(interval)", worker},
	{"effective_thresholds(text)", operator | reporter},
	{"set_health_thresholds(text, jsonb)", operator},

	{"cancel(bigint)", operator},
	{"dead_letter(bigint, text)", operator},
	{"reprioritize(bigint, text)", operator},
	{"reschedule(bigint, timestamp with time zone)", operator},
	{"change_jobs(text, jsonb, text, bigint, integer, integer)", operator},
	{"find_jobs(jsonb, bigint, integer, integer)", operator},
	{"explain(bigint)", operator},

	{"find_dead(text, jsonb, timestamp with time zone, bigint, integer, integer)", operator},
	{"count_dead(text, jsonb, integer)", operator},
	{"redrive(text, text, jsonb)", operator},
	{"start_redrive(text, jsonb, integer, integer, double precision, integer)", operator},
	{"steer_redrive(bigint, text)", operator},
	{"purge_dead(text, interval, jsonb, integer)", operator},
	{"resolve_error(text, text, boolean)", operator},
	{"set_dead_policy(text, interval, double precision, integer, interval)", operator},

	{"pause_queue(text)", operator},
	{"resume_queue(text)", operator},
	{"set_queue(text, text, double precision)", operator},
	{"set_policy(text, text, jsonb)", operator},
	{"get_policy(text, text, jsonb)", worker | operator},
	{"preview_policy(text, text, jsonb)", operator},
	{"set_rule(text, integer, text, text)", operator},
	{"set_level(text, integer)", operator},
	{"set_tag(text, integer)", operator},
	{"decide_priority(text, jsonb, text[])", operator},
	{"priority_level(integer)", operator | reporter},
	{"set_breaker(text, text, boolean, double precision, integer, interval, interval)", operator},

	// What the views call, as whoever reads them.
	{"unsampled_metrics()", operator | reporter},
	{"unrolled_latencies()", operator | reporter},
	{"percentile_ms(smallint[], bigint[], double precision)", operator | reporter},

	{"verify()", operator},
	{"verify_cut(bigint, bigint, integer)", operator},
	{"verify_jobs(bigint, bigint)", operator},
	{"verify_rest()", operator},

	{"register_remote_worker(text, text[], text, integer, text, integer, text[])", worker},
	{"remote_queues(bigint, text)", worker},
	{"remote_claim(bigint, text, text, integer, text[], interval)", worker},
	{"remote_heartbeat(bigint, text, bigint[], integer[])", worker},
	{"remote_finish(bigint, text, text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[])", worker},
	{"remote_progress(bigint, text, bigint[], integer[], integer[], text[])", worker},
	{"remote_leave(bigint, text)", worker},
	{"remote_beats(bigint[])", worker},
	{"due_in(text[])", worker},
	{"prune_remote_claims()", worker},
	{"remote_beat(bigint, text)", nobody},

	// The HTTP server knows its tokens, and keeps the replies to requests that bear a key.
	{"take_reply(text, text)", operator},
	{"keep_reply(text, text, bytea, integer, jsonb, bytea)", operator},
	{"note_token_uses(text[], interval[])", operator},
	{"create_token(text, text, text, text[], bytea, interval)", operator},
	{"rotate_token(text, bytea, interval)", operator},
	{"revoke_token(text)", operator},

	{"actor()", nobody},
	{"add_latency_samples(penstock.latency_samples[])", nobody},
	{"add_metric_samples(penstock.metric_samples[])", nobody},
	{"aged_heads(text, smallint[], timestamp with time zone, double precision, timestamp with time zone, smallint, smallint[], timestamp with time zone[], bigint[], text[], bigint[], integer)", nobody},
	{"audit(text, text, jsonb, jsonb)", nobody},
	{"audit_setting()", nobody},
	{"audit_task()", nobody},
	{"audit_token()", nobody},
	{"bucket_ms(integer)", operator | reporter},
	{"queue_metrics(text, interval)", operator | reporter},
	{"performance(text, text, timestamp with time zone, timestamp with time zone)", operator | reporter},
	{"history(text, timestamp with time zone, timestamp with time zone, text)", operator | reporter},
	{"cover(timestamp with time zone, timestamp with time zone)", nobody},
	{"sampled_since(timestamp with time zone, interval)", nobody},
	{"states_of(text)", nobody},
	{"carried_states(text)", nobody},
	{"samples_between(text, text, timestamp with time zone, timestamp with time zone)", nobody},
	{"jobs_come(penstock.tallies)", nobody},
	{"summed(penstock.metric_samples[], text)", nobody},
	{"canary_passed(penstock.redrives)", nobody},
	{"check_filter(jsonb, text[], text[], text[])", nobody},
	{"check_name(text, text, bigint)", nobody},
	{"check_retry(jsonb, bigint)", nobody},
	{"class_matches(text, text[])", nobody},
	{"count_for_breakers(text, text[], bigint[], integer[], boolean[])", nobody},
	{"data_holds(jsonb, jsonpath)", nobody},
	{"day_at(timestamp with time zone)", nobody},
	{"dead_retry_at(text, smallint, timestamp with time zone)", nobody},
	{"decide_priorities(text, jsonb[], jsonb[])", nobody},
	{"duration_bucket(double precision)", operator | reporter},
	{"effective_policy(text, text, jsonb, smallint)", nobody},
	{"end_attempt(text, bigint, integer, text, text, text, text, interval)", nobody},
	{"enqueue_batch(text, text[], jsonb[], jsonb[], boolean)", nobody},
	{"enqueue_one(text, text, jsonb, jsonb, boolean)", nobody},
	{"epoch_of(text)", nobody},
	{"epoch_times(jsonb)", nobody},
	{"epoch_us(interval)", nobody},
	{"fingerprint(text, text)", nobody},
	{"fold_tallies(integer)", nobody},
	{"hold_back(text, integer)", nobody},
	{"hold_keys(text, text[], bigint[])", nobody},
	{"job_day()", nobody},
	{"json_bytes(jsonb)", nobody},
	{"job_tags(jsonb, text[])", nobody},
	{"lane_head(text, smallint, timestamp with time zone, timestamp with time zone, bigint, text[], bigint[], integer)", nobody},
	{"lanes(text)", nobody},
	{"note_run(penstock.scheduled_tasks, text, jsonb, text, timestamp with time zone)", nobody},
	{"latencies_of(penstock.tallies[], text)", nobody},
	{"mean_of(double precision, integer, double precision, integer)", nobody},
	{"merged_latencies(timestamp with time zone, timestamp with time zone)", nobody},
	{"metrics_of(penstock.tallies[], text)", nobody},
	{"partition_name(text, integer)", nobody},
	{"priority_weight(jsonb, bigint)", nobody},
	{"read_milliseconds(text, jsonb, double precision, bigint)", nobody},
	{"read_options(jsonb, timestamp with time zone, bigint)", nobody},
	{"reason(text, boolean, text, jsonb)", nobody},
	{"redrive_entries(bigint[], integer[], integer, jsonb, bigint)", nobody},
	{"refuse(text, text, text, bigint)", nobody},
	{"remember_worker()", nobody},
	{"refuse_rewriting()", nobody},
	{"retry_delay(text, interval, double precision, interval, double precision, integer, double precision)", nobody},
	{"rule_moments(timestamp with time zone)", nobody},
	{"sample_states()", nobody},
	{"settle(text, bigint[], integer[], text[], text[], text[], text[], jsonb[], interval[])", nobody},
	{"settle_all(penstock.running[], text, text, text)", nobody},
	{"sleeps(text)", nobody},
	{"task_backoff(integer)", nobody},
	{"health_status(text[])", nobody},
	{"sampled_p95(text, text, timestamp with time zone, timestamp with time zone)", nobody},
	{"token_facts(penstock.api_tokens)", nobody},
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

var relations = []relationGrant{
	// Every command first asks whether the schema fits it.
	{"schema_migrations", []tableGrant{{"SELECT", everyone}}},

	// A worker looks for peers that stopped beating, and counts what is left to drain.
	{"workers", []tableGrant{{"SELECT (id, beat)", worker}, {"SELECT", operator | reporter}}},
	{"pending", []tableGrant{{"SELECT", worker | operator | reporter}}},
	{"running", []tableGrant{
		{"SELECT", worker | operator},
		{"SELECT (job_id, run_at, claimed_at, deadline, worker_id, attempt, failures, crashes, priority, progress, " +
			"cancel_requested, queue, name)", reporter},
	}},

	// Counts and times, never what a job holds.
	{"tallies", []tableGrant{{"SELECT", operator | reporter}}},
	{"metric_samples", []tableGrant{{"SELECT", operator | reporter}}},
	{"latency_samples", []tableGrant{{"SELECT", operator | reporter}}},
	{"queue_states", []tableGrant{{"SELECT", operator | reporter}}},
	{"queue_slots", []tableGrant{{"SELECT", operator | reporter}}},
	{"live_states", []tableGrant{{"SELECT", operator | reporter}}},
	{"unfolded", nil},
	{"sampling", []tableGrant{{"SELECT", operator | reporter}}},

	// What a job or its error says stays with the operator: data, message, detail,
	// result, progress notes, and the keys and trace contexts that callers chose.
	{"jobs", []tableGrant{
		{"SELECT", operator},
		{"SELECT (id, enqueued_at, expires_at, timeout, origin_id, generation, asked_priority, max_attempts, " +
			"queue, name, tags, retry)", reporter},
	}},
	{"attempts", []tableGrant{
		{"SELECT", operator},
		{"SELECT (job_id, run_at, claimed_at, finished_at, worker_id, attempt, priority, queue, name, outcome, " +
			"error_class, fingerprint, progress)", reporter},
	}},
	{"dead_jobs", []tableGrant{
		{"SELECT (queue)", worker},
		{"SELECT", operator},
		{"SELECT (job_id, enqueued_at, failed_at, next_retry_at, timeout, origin_id, attempt, failures, generation, " +
			"crashes, priority, asked_priority, max_attempts, can_retry, queue, name, reason, error_class, fingerprint, " +
			"tags, retry, retry_strategy, asked_max_attempts, handler_version)", reporter},
	}},
	{"job_states", []tableGrant{
		{"SELECT", operator},
		{"SELECT (id, queue, name, state, priority, attempt, failures, run_at, enqueued_at, claimed_at, finished_at, " +
			"worker_id, progress, new_job_id, cancel_requested, origin_id, generation)", reporter},
	}},

	// An example is a message, and a filter may quote data.
	{"error_groups", []tableGrant{
		{"SELECT", operator},
		{"SELECT (queue, fingerprint, error_class, reason, jobs, retryable, first_seen, last_seen, example_job_id, " +
			"resolved_at, resolved)", reporter},
	}},
	{"resolved_errors", []tableGrant{{"SELECT", operator | reporter}}},
	{"departures", []tableGrant{{"SELECT", operator | reporter}}},
	{"redrives", []tableGrant{
		{"SELECT", operator},
		{"SELECT (id, queue, state, created_at, started_by, died_before, rate, max_generation, canary, canary_share, " +
			"canary_ids, total, redriven, passed_over, moved_at, finished_at, note)", reporter},
	}},
	{"audit_log", []tableGrant{{"SELECT", operator}}},
	{"leases", []tableGrant{{"SELECT", operator}}},
	{"idempotency_keys", []tableGrant{{"SELECT", operator}}},

	// Policy is data, and setting it is the operator's, through functions that check it.
	{"queues", []tableGrant{{"SELECT", operator | reporter}}},
	{"retry_policies", []tableGrant{{"SELECT", operator | reporter}}},
	{"dead_policies", []tableGrant{{"SELECT", operator | reporter}}},
	{"priority_levels", []tableGrant{{"SELECT", operator | reporter}}},
	{"priority_tags", []tableGrant{{"SELECT", operator | reporter}}},
	{"priority_rules", []tableGrant{{"SELECT", operator}, {"SELECT (queue, position, priority)", reporter}}},
	{"priority_rule_errors", []tableGrant{{"SELECT", operator}, {"SELECT (queue, position, last_seen)", reporter}}},
	{"priority_distribution", []tableGrant{{"SELECT", operator | reporter}}},
	// What an error of a task quotes may be data.
	{"scheduled_tasks", []tableGrant{
		{"SELECT (name, schedule, time_zone, next_run_at)", worker},
		{"SELECT", operator},
		{"SELECT (name, description, schedule, time_zone, paused, settings, limits, next_run_at, asked_at, attempt, runner, " +
			"started_at, lease_until, finished_at, duration, outcome, succeeded_at, consecutive_failures, runs, failures)", reporter},
	}},
	{"health_thresholds", []tableGrant{{"SELECT", operator | reporter}}},
	{"health_reports", []tableGrant{{"SELECT", operator | reporter}}},
	{"task_runs", []tableGrant{
		{"SELECT", operator},
		{"SELECT (id, task, attempt, due_at, started_at, finished_at, outcome, runner)", reporter},
	}},
	{"breakers", []tableGrant{{"SELECT", operator | reporter}}},
	{"breaker_states", []tableGrant{{"SELECT", operator | reporter}}},
	{"breaker_tallies", []tableGrant{{"SELECT", operator | reporter}}},
	{"settings", []tableGrant{{"SELECT, UPDATE", operator}, {"SELECT", reporter}}},
	{"partitions", []tableGrant{{"SELECT", operator | reporter}}},

	{"queue_stats", []tableGrant{{"SELECT", operator | reporter}}},
	{"throughput_by_minute", []tableGrant{{"SELECT", operator | reporter}}},
	{"attempt_stats", []tableGrant{{"SELECT", operator | reporter}}},
	{"dlq_stats", []tableGrant{{"SELECT", operator | reporter}}},
	{"slowest_jobs", []tableGrant{{"SELECT", operator | reporter}}},
	{"worker_stats", []tableGrant{{"SELECT", operator | reporter}}},
	{"worker_versions", []tableGrant{{"SELECT", operator | reporter}}},
	{"past_workers", []tableGrant{{"SELECT", operator | reporter}}},
	{"verify_checks", []tableGrant{{"SELECT", operator | reporter}}},

	{"remote_claims", nil},
	// Hashes of 256 random bits tell nobody a secret; a server needs them to know tokens.
	{"api_tokens", []tableGrant{{"SELECT", operator}}},
	{"replies", nil}, // may hold data: only the functions touch it

	{"endings", nil},
	{"health_issues", nil},
	{"latencies", nil},
	{"queue_figures", nil},
	{"retry_previews", nil},
	{"verifications", nil},
}
