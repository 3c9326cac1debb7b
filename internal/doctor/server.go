package doctor

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"
)

func (e *exam) schema(ctx context.Context) error {
	if e.Schema == nil {
		return nil
	}
	if err := e.Schema(ctx); err != nil {
		e.say(Problem, "run `penstock migrate up` with this program, or use the program that the schema is for", "%v", err)
		return nil
	}
	e.fine("this program and the schema fit each other")
	return nil
}

// functions names what was changed in the database or belongs to another release.
func (e *exam) functions(ctx context.Context) error {
	if e.Drift == nil {
		return nil
	}
	drift, err := e.Drift(ctx)
	if err != nil {
		return err
	}
	for _, o := range drift {
		level := Warning
		if o.State == "missing" {
			level = Problem
		}
		e.say(level, "`penstock migrate functions` puts this program's own back; grants are kept", "%s: %s", o.Signature, o.State)
	}
	if len(drift) == 0 {
		e.fine("all are as this program has them")
	}
	return nil
}

// advice is what a setting should not be.
type advice struct {
	setting, bad string
	level        Level
	text, remedy string
}

var advices = []advice{
	{
		"fsync", "off", Problem, "fsync is off: a crash of the machine can destroy the database, and every promise with it",
		"set fsync = on in postgresql.conf and reload",
	},
	{
		"full_page_writes", "off", Problem, "full_page_writes is off: a crash of the machine can leave torn pages",
		"set full_page_writes = on, unless the file system writes pages whole, and reload",
	},
	{
		"synchronous_commit", "off", Warning, "synchronous_commit is off here: a crash loses enqueues and completions of the last moments that were acknowledged (P1)",
		"set synchronous_commit = on for the roles that enqueue and work, or accept that their last commits may vanish",
	},
	{
		"autovacuum", "off", Problem, "autovacuum is off: the tables that churn grow without end, and claims slow down",
		"set autovacuum = on and reload",
	},
	{
		"track_counts", "off", Problem, "track_counts is off: autovacuum does not know what to clean",
		"set track_counts = on and reload",
	},
	{
		"default_transaction_read_only", "on", Problem, "transactions are read-only by default here: nothing can be enqueued",
		"use a role, database or server where default_transaction_read_only is off",
	},
	{
		"default_transaction_isolation", "serializable", Warning, "transactions are serializable by default here: claims and completions conflict with each other and are repeated",
		"ALTER ROLE or ALTER DATABASE … RESET default_transaction_isolation for those that work; your own transactions may ask for it",
	},
	{
		"default_transaction_isolation", "repeatable read", Warning, "transactions are repeatable read by default here: claims and completions conflict with each other and are repeated",
		"ALTER ROLE or ALTER DATABASE … RESET default_transaction_isolation for those that work; your own transactions may ask for it",
	},
}

// timeouts that end what a worker does for a while, in milliseconds.
var timeouts = []struct {
	setting string
	least   int
	text    string
}{
	{"statement_timeout", 5000, "a claim or a batch of completions may take longer on a busy server, and is then repeated for ever"},
	{"idle_session_timeout", 60_000, "sleeping workers are idle for as long as nothing is to be done, and are cut off again and again"},
	{"transaction_timeout", 5000, "a batch of completions may take longer on a busy server, and is then repeated for ever"},
}

func (e *exam) settings(ctx context.Context) error {
	rows, err := e.Pool.Query(ctx, "SELECT name, setting FROM pg_settings")
	if err != nil {
		return err
	}
	settings := map[string]string{}
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		settings[name] = value
		return nil
	}); err != nil {
		return err
	}
	before := len(e.found)
	for _, a := range advices {
		if settings[a.setting] == a.bad {
			e.say(a.level, a.remedy, "%s", a.text)
		}
	}
	for _, t := range timeouts {
		if ms, err := strconv.Atoi(settings[t.setting]); err == nil && ms > 0 && ms < t.least {
			e.say(Warning, "raise it to "+strconv.Itoa(t.least/1000)+" s or more for the roles that work, or set it to 0",
				"%s is %d ms here: %s", t.setting, ms, t.text)
		}
	}
	if len(e.found) == before {
		e.fine("durable, vacuumed, and nothing that cuts workers off")
	}
	return nil
}

func (e *exam) connections(ctx context.Context) error {
	var used, most, reserved int
	err := e.Pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		current_setting('max_connections')::integer, current_setting('superuser_reserved_connections')::integer`).Scan(&used, &most, &reserved)
	if err != nil {
		return err
	}
	if room := most - reserved; used*10 > room*9 {
		e.say(Warning, "close idle sessions, put producers behind a pooler, or raise max_connections; a worker takes up to its queues + 7 connections",
			"%d of %d connections are taken: a worker that has to connect again may be refused", used, room)
		return nil
	}
	e.fine("%d of %d connections are taken", used, most-reserved)
	return nil
}
