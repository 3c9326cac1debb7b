package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

func (e *exam) partitions(ctx context.Context) error {
	var ahead, stale int
	var missing []string
	err := e.Pool.QueryRow(ctx, `
		SELECT coalesce(max(p.last_day), 0) - floor(extract(epoch FROM clock_timestamp()) / 86400)::integer,
			count(*) FILTER (WHERE p.last_day < floor(extract(epoch FROM clock_timestamp() - 3 * s.retention) / 86400)),
			coalesce(array_agg(k.kind || '_' || to_char(date '1970-01-01' + p.first_day, 'YYYYMMDD'))
				FILTER (WHERE i.inhrelid IS NULL), '{}')
		FROM penstock.partitions p CROSS JOIN penstock.settings s CROSS JOIN (VALUES ('jobs'), ('attempts')) k(kind)
		LEFT JOIN pg_inherits i ON i.inhparent = to_regclass('penstock.' || k.kind)
			AND i.inhrelid = to_regclass('penstock.' || k.kind || '_' || to_char(date '1970-01-01' + p.first_day, 'YYYYMMDD'))`).
		Scan(&ahead, &stale, &missing)
	if err != nil {
		return err
	}
	const upkeep = "run a worker or `penstock serve`: they make and drop partitions every hour; by hand: SELECT penstock.ensure_partitions()"
	before := len(e.found)
	if len(missing) > 0 {
		e.say(Problem, "restore them, or take their days out of penstock.partitions; they are never detached by hand", "partitions are written down and not there: %s", strings.Join(missing, ", "))
	}
	switch {
	case ahead < 0:
		e.say(Problem, upkeep, "the newest partition ended %s ago: new jobs share its day, and it cannot be dropped", days(-ahead))
	case ahead < 2:
		e.say(Warning, upkeep, "partitions reach %s ahead, of seven: nobody makes new ones", days(ahead))
	}
	if stale > 0 {
		e.say(Warning, "see which jobs still wait in them (SELECT * FROM penstock.pending ORDER BY job_id LIMIT 10), and that a worker or server does the upkeep",
			"%d partitions are three retentions old", stale/2)
	}
	if len(e.found) == before {
		e.fine("they reach %s ahead", days(ahead))
	}
	return nil
}

func (e *exam) indexes(ctx context.Context) error {
	rows, err := e.Pool.Query(ctx, `SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'penstock'::regnamespace AND NOT (i.indisvalid AND i.indisready) ORDER BY 1`)
	if err != nil {
		return err
	}
	broken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range broken {
		e.say(Problem, "REINDEX INDEX CONCURRENTLY "+name, "index %s is invalid: it is written and not used, as after a failed CREATE INDEX CONCURRENTLY", name)
	}
	if len(broken) == 0 {
		e.fine("all are valid")
	}
	return nil
}

// vacuum looks at the two tables that churn.
func (e *exam) vacuum(ctx context.Context) error {
	rows, err := e.Pool.Query(ctx, `SELECT s.relname::text, s.n_dead_tup, s.n_live_tup, pg_relation_size(s.relid),
			coalesce((SELECT bool_or(o LIKE 'autovacuum_enabled=%' AND o NOT LIKE '%=on' AND o NOT LIKE '%=true') FROM unnest(c.reloptions) o), false)
		FROM pg_stat_all_tables s JOIN pg_class c ON c.oid = s.relid
		WHERE s.schemaname = 'penstock' AND s.relname IN ('pending', 'running', 'workers') ORDER BY 1`)
	if err != nil {
		return err
	}
	before := len(e.found)
	var name string
	var dead, live, bytes int64
	var off bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &dead, &live, &bytes, &off}, func() error {
		switch {
		case off:
			e.say(Problem, "ALTER TABLE penstock."+name+" RESET (autovacuum_enabled)", "autovacuum is off for %s", name)
		case dead > 200_000 && dead > 4*live:
			e.say(Warning, "see what keeps them (old snapshots above), and that autovacuum workers are free; VACUUM penstock."+name+" helps now",
				"%s has %d dead rows beside %d live ones", name, dead, live)
		case bytes > 1<<30 && live < 100_000:
			e.say(Warning, "in a quiet moment: VACUUM FULL penstock."+name+", which locks it", "%s takes %d MB for %d rows", name, bytes>>20, live)
		}
		return nil
	}); err != nil {
		return err
	}
	if len(e.found) == before {
		e.fine("the tables that churn are clean")
	}
	return nil
}

// clock compares the database's with this machine's, as far as the way there lets it.
func (e *exam) clock(ctx context.Context) error {
	var best time.Duration = time.Hour
	var offset time.Duration
	for range 5 {
		start := time.Now()
		theirs, err := ask[time.Time](ctx, e, "SELECT clock_timestamp()")
		if err != nil {
			return err
		}
		if way := time.Since(start); way < best {
			best, offset = way, theirs.Sub(start.Add(way/2))
		}
	}
	if off := offset.Abs(); off > time.Second+best {
		e.say(Warning, "set both by NTP; safety does not depend on it (P12)",
			"the database's clock is %s from this machine's: a run_at that this machine works out, and times that it prints, are off by that", off.Round(10*time.Millisecond))
		return nil
	}
	e.fine("the database's clock is this machine's, within %s", max(offset.Abs(), best, time.Millisecond).Round(time.Millisecond))
	return nil
}

func (e *exam) workers(ctx context.Context) error {
	var live, silent int
	err := e.Pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE beat_at > clock_timestamp() - interval '10 seconds'),
		count(*) FILTER (WHERE beat_at <= clock_timestamp() - interval '1 minute') FROM penstock.workers`).Scan(&live, &silent)
	if err != nil {
		return err
	}
	before := len(e.found)
	if silent > 0 {
		e.say(Problem, "start a worker or `penstock serve`: any of them buries the dead", "%d workers have been silent for over a minute, and nobody buried them", silent)
	}
	rows, err := e.Pool.Query(ctx, `SELECT q.queue, extract(epoch FROM clock_timestamp() - q.oldest)::float8
		FROM (SELECT p.queue, min(p.run_at) AS oldest FROM penstock.pending p GROUP BY p.queue) q
		WHERE q.oldest < clock_timestamp() - interval '1 minute'
			AND NOT EXISTS (SELECT FROM penstock.workers w WHERE q.queue = ANY (w.queues)) ORDER BY 2 DESC LIMIT 5`)
	if err != nil {
		return err
	}
	var queue string
	var seconds float64
	if _, err := pgx.ForEachRow(rows, []any{&queue, &seconds}, func() error {
		e.say(Problem, "start a worker that serves it, or see why it does not register", "queue %s has work due for %s, and no worker serves it", queue, span(seconds))
		return nil
	}); err != nil {
		return err
	}
	if len(e.found) == before {
		e.fine("%d beat, and no queue with work has none", live)
	}
	return nil
}

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return strconv.Itoa(n) + " days"
}

func itoa(n int) string { return strconv.Itoa(n) }

// quote makes an SQL literal.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// span is a duration in its one largest unit.
func span(seconds float64) string {
	switch {
	case seconds >= 2*86400:
		return fmt.Sprintf("%d days", int(seconds/86400))
	case seconds >= 2*3600:
		return fmt.Sprintf("%d hours", int(seconds/3600))
	case seconds >= 120:
		return fmt.Sprintf("%d minutes", int(seconds/60))
	}
	return fmt.Sprintf("%d s", int(seconds))
}
