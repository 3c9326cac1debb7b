package deadletter_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// A redrive is carried on by sessions that read dates in their own way.
func TestARedrivesTimesMeanTheSameToWhoeverCarriesItOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(2, death{})...)
	conn, err := pgx.Connect(t.Context(), f.URL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SET datestyle = 'ISO, DMY'; SET timezone = 'America/New_York'")
	require.NoError(t, err)
	var id int64
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT penstock.start_redrive('q', jsonb_build_object(
		'failedFrom', to_char(now() - interval '1 minute', 'DD/MM/YYYY HH24:MI:SS'),
		'failedTo', to_char(now() + interval '1 hour', 'DD/MM/YYYY HH24:MI:SS')))`).Scan(&id))
	require.Equal(t, 2, f.advance(t, time.Second))
	require.Equal(t, "done", f.redrive(t, id).State)
}

func TestARedriveThatCannotGoOnHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{}, death{})
	f.exec(t, `INSERT INTO penstock.redrives (queue, filter, state, started_by, rate, max_generation, canary, canary_share, total)
		VALUES ('broken', '{"failedFrom": "no time"}', 'running', 'test', 1000, 10, 0, 0.5, 1)`)
	f.exec(t, "SELECT penstock.start_redrive('q')")
	moved := f.advance(t, time.Second) + f.advance(t, time.Second)
	require.Contains(t, []int{1, 2}, moved, "the broken one counts -1, the other redrives two")
	require.Equal(t, []string{"broken stopped", "q done"}, list[string](t, f,
		"SELECT queue || ' ' || state FROM penstock.redrives ORDER BY queue"))
	require.Contains(t, ask[string](t, f, "SELECT note FROM penstock.redrives WHERE queue = 'broken'"), "failedFrom")
}

func TestAForgottenArgumentIsNotEverything(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n"})
	for sql, argument := range map[string]string{
		"SELECT penstock.purge_dead(NULL, '0')":                       "queue",
		"SELECT penstock.change_jobs('cancel', NULL)":                 "filter",
		"SELECT penstock.set_breaker('q', '*', NULL)":                 "enabled",
		"SELECT penstock.resume_queue(NULL)":                          "queue",
		"SELECT penstock.purge_dead('q', '178000000 years')":          "older_than",
		"SELECT penstock.set_rule('q', 3, '$.a ? (@ == $nope)', '7')": "condition",
	} {
		_, err := f.Pool.Exec(t.Context(), sql)
		refusedSQL(t, err, argument)
	}
	require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.dead_jobs"))
	require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.pending"))
}

func TestADepartureIsForgottenOnlyWithItsJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	f.exec(t, "SELECT penstock.purge_dead('q', '0')")
	f.exec(t, "UPDATE penstock.departures SET departed_at = departed_at - interval '91 days'")
	require.Zero(t, ask[int](t, f, "SELECT penstock.prune_departures()"), "its job is still kept")
	f.exec(t, "UPDATE penstock.departures SET job_id = 100000000001")
	require.Equal(t, 1, ask[int](t, f, "SELECT penstock.prune_departures()"))
}
