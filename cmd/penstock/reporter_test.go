package main

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// secret matches whatever jobs and their errors say in the history that reports are
// tested on: data, results, messages, progress notes.
const secret = `of the customer|secret|mailbox is full|no codec|customer's words|stopped beating`

// A reporter's role reads all that it may, column by column, and finds nothing that
// jobs or their errors say; and the search would find it, as an operator's shows.
func TestAReporterNeverSeesWhatJobsOrTheirErrorsSay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := testkit.New(t)
	history, err := os.ReadFile("../../internal/tests/reports/testdata/history.sql")
	require.NoError(t, err)
	_, err = db.Pool.Exec(ctx, string(history))
	require.NoError(t, err)
	leaks := func(duty string) (read int, found []string) {
		pool, err := pgxpool.New(ctx, roleURL(t, db, duty))
		require.NoError(t, err)
		defer pool.Close()
		rows, err := pool.Query(ctx, `SELECT c.relname, quote_ident(a.attname), has_column_privilege(c.oid, a.attnum, 'SELECT')
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.relnamespace = 'penstock'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped`)
		require.NoError(t, err)
		type column struct {
			Relation, Name string
			May            bool
		}
		columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
		require.NoError(t, err)
		for _, c := range columns {
			from := c.Name + " FROM penstock." + pgx.Identifier{c.Relation}.Sanitize()
			if !c.May {
				_, err := pool.Exec(ctx, "SELECT "+from)
				require.ErrorContains(t, err, "42501", from)
				continue
			}
			read++
			var said bool
			require.NoError(t, pool.QueryRow(ctx, "SELECT coalesce(bool_or(v::text ~ $1), false) FROM (SELECT "+from+") s(v)", secret).Scan(&said), from)
			if said {
				found = append(found, c.Relation+"."+c.Name)
			}
		}
		return read, found
	}
	read, found := leaks("reporter")
	require.Empty(t, found)
	require.Greater(t, read, 150)
	_, found = leaks("operator")
	require.Subset(t, found, []string{
		"jobs.data", "attempts.message", "attempts.result", "dead_jobs.data", "dead_jobs.message", "error_groups.example",
		"running.progress_note", "job_states.progress_note", "leases.data",
	})
}
