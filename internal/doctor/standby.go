package doctor

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

func (e *exam) replication(ctx context.Context) error {
	standby, err := ask[bool](ctx, e, "SELECT pg_is_in_recovery()")
	if err != nil {
		return err
	}
	if standby {
		e.say(Problem, "use a URL that leads to the primary, such as host=a,b target_session_attrs=read-write", "connected to a standby: nothing can be enqueued or claimed here")
		return nil
	}
	names, err := ask[string](ctx, e, "SELECT current_setting('synchronous_standby_names')")
	if err != nil {
		return err
	}
	rows, err := e.Pool.Query(ctx, "SELECT coalesce(application_name, ''), coalesce(sync_state, '') FROM pg_stat_replication ORDER BY 1")
	if err != nil {
		return err
	}
	var async, synced []string
	hidden := 0
	var name, state string
	if _, err := pgx.ForEachRow(rows, []any{&name, &state}, func() error {
		switch state {
		case "":
			hidden++
		case "async":
			async = append(async, name)
		default:
			synced = append(synced, name)
		}
		return nil
	}); err != nil {
		return err
	}
	switch {
	case hidden > 0:
		e.say(Unknown, "GRANT pg_monitor to the role that runs the doctor", "there are %d standbys, and the role may not see how they replicate", hidden)
	case names != "" && len(synced) == 0:
		e.say(Problem, "start a standby that synchronous_standby_names names, or take it off the list",
			"no standby of %q is connected: every commit waits for one", names)
	case len(synced) > 0:
		e.fine("commits wait for %s: a failover loses no acknowledged job", strings.Join(synced, ", "))
	case len(async) > 0:
		e.say(Warning, "set synchronous_standby_names and synchronous_commit = on where that must not be, or accept it",
			"replication to %s is asynchronous: a failover may lose jobs that were acknowledged, and run completed ones again", strings.Join(async, ", "))
	default:
		e.fine("no standby: the promises are this server's alone")
	}
	return nil
}

// horizon looks for what keeps dead rows from being cleaned away.
func (e *exam) horizon(ctx context.Context) error {
	before := len(e.found)
	rows, err := e.Pool.Query(ctx, `SELECT pid, coalesce(usename, '?'), coalesce(application_name, ''), coalesce(state, ''),
			extract(epoch FROM clock_timestamp() - xact_start)::float8
		FROM pg_stat_activity
		WHERE backend_xmin IS NOT NULL AND xact_start < clock_timestamp() - $1::interval AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'
		ORDER BY xact_start LIMIT 5`, e.Old)
	if err != nil {
		return err
	}
	var pid int
	var user, app, state string
	var seconds float64
	if _, err := pgx.ForEachRow(rows, []any{&pid, &user, &app, &state, &seconds}, func() error {
		e.say(Warning, "end it if it was forgotten: SELECT pg_terminate_backend("+itoa(pid)+"); against the next, set idle_in_transaction_session_timeout",
			"session %d of %s (%s, %s) has a transaction open for %s: nothing that died since is cleaned away", pid, user, app, state, span(seconds))
		return nil
	}); err != nil {
		return err
	}
	if rows, err = e.Pool.Query(ctx, `SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
		WHERE prepared < clock_timestamp() - $1::interval ORDER BY prepared LIMIT 5`, e.Old); err != nil {
		return err
	}
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&name, &seconds}, func() error {
		e.say(Warning, "end it: COMMIT PREPARED or ROLLBACK PREPARED "+quote(name), "prepared transaction %q is open for %s", name, span(seconds))
		return nil
	}); err != nil {
		return err
	}
	if rows, err = e.Pool.Query(ctx, `SELECT slot_name::text, active, greatest(coalesce(age(xmin), 0), coalesce(age(catalog_xmin), 0))
		FROM pg_replication_slots WHERE NOT active OR coalesce(age(xmin), 0) > 1000000 ORDER BY 1 LIMIT 5`); err != nil {
		return err
	}
	var active bool
	var behind int
	if _, err := pgx.ForEachRow(rows, []any{&name, &active, &behind}, func() error {
		e.say(Warning, "start its standby again, or drop it: SELECT pg_drop_replication_slot("+quote(name)+")",
			"replication slot %s (active: %t) keeps WAL and rows of the last %d transactions", name, active, behind)
		return nil
	}); err != nil {
		return err
	}
	hidden, err := ask[int](ctx, e, `SELECT count(*) FROM pg_stat_activity WHERE backend_type IS NULL OR query = '<insufficient privilege>'`)
	switch {
	case err != nil:
		return err
	case len(e.found) > before:
	case hidden > 0:
		e.say(Unknown, "GRANT pg_monitor to the role that runs the doctor", "the role may not see %d sessions of others", hidden)
	default:
		e.fine("no transaction older than %s keeps dead rows alive", e.Old)
	}
	return nil
}
