package reports_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

const sqlDocument = "../../../docs/sql.md"

func TestTheExamplesOfTheSQLDocumentHoldTrue(t *testing.T) { // P2, P5, P6, P8
	t.Parallel()
	f := newFixture(t)
	holdTrue(t, f, sqlDocument)
	codes, _ := f.verify(t)
	require.Empty(t, codes)
}

// Where psql is, it prints what the document says, in this order.
func TestPsqlPrintsWhatTheSQLDocumentSays(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
		if len(found) == 0 {
			t.Log("no psql on this machine: the examples ran without it all the same")
			return
		}
		psql = found[0]
	}
	f := newFixture(t)
	var script strings.Builder
	var tables, errors []string
	for _, e := range examples(t, sqlDocument) {
		script.WriteString(e.sql + "\n")
		if strings.HasPrefix(e.says, "ERROR:") {
			errors = append(errors, common(e.says))
		} else if e.says != "" {
			tables = append(tables, e.says)
		}
	}
	cmd := exec.CommandContext(t.Context(), psql, "-X", "-q", f.URL)
	cmd.Env = append(cmd.Environ(), "PGTZ=UTC", "PAGER=", "PGCLIENTENCODING=UTF8")
	cmd.Stdin = strings.NewReader(script.String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), stderr.String())

	printed := plainTable(stdout.String())
	for _, table := range tables {
		_, after, found := strings.Cut(printed, plainTable(table))
		require.True(t, found, "psql did not print, or not in this place:\n%s\nbut\n%s", table, printed)
		printed = after
	}
	var complaints []string
	for _, line := range regexp.MustCompile(`ERROR: .*`).FindAllString(stderr.String(), -1) {
		complaints = append(complaints, common(line))
	}
	require.Equal(t, errors, complaints)
}

// plainTable is psql's table without what depends on the widths of ids and times.
func plainTable(text string) string {
	var lines []string
	for _, line := range strings.Split(common(text), "\n") {
		if strings.Trim(line, "-+") != "" {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}

// TestEndsOfOneAttempt: what fail, snooze and release do is finish's, which is proved
// elsewhere; here is what they add.
func TestEndsOfOneAttempt(t *testing.T) { // P5, P8
	t.Parallel()
	f := newFixture(t)
	worker := ask[int64](t, f, "SELECT penstock.register_worker('{q}')")
	lease := func() (id int64) {
		f.exec(t, "SELECT penstock.enqueue('q', 'n', max_attempts => 2)")
		id = ask[int64](t, f, "SELECT job_id FROM penstock.claim('q', $1, 1)", worker)
		return id
	}
	for _, c := range []struct {
		name, call, becomes string
	}{
		{"fail retries by the policy", "penstock.fail('q', $1, 1)", "accepted failed retrying"},
		{"fail takes a delay of the caller's", "penstock.fail('q', $1, 1, delay => '2 days')", "accepted failed retrying"},
		{"fail without a retry lays it in the dead letter queue", "penstock.fail('q', $1, 1, retry => false)", "accepted failed dead"},
		{"fail of a class that is not retried does too", "penstock.fail('q', $1, 1, 'fs.PathError NotFoundError', 'gone')", "accepted failed dead"},
		{"nulls are what was left out", "penstock.fail('q', $1, 1, NULL, NULL, NULL, NULL, NULL)", "accepted failed retrying"},
		{"snooze puts it off", "penstock.snooze('q', $1, 1, '1 hour')", "accepted snoozed waiting"},
		{"release gives it back", "penstock.release('q', $1, 1)", "accepted released waiting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := lease()
			said := "SELECT concat_ws(' ', e.status, e.outcome, e.state) FROM " + c.call + " e"
			require.Equal(t, c.becomes, ask[string](t, f, said, id))
			outcome := strings.Fields(c.becomes)[1]
			require.Equal(t, "already_done "+outcome, ask[string](t, f, said, id), "a repeat changes nothing")
			require.Equal(t, outcome, ask[string](t, f, "SELECT outcome FROM penstock.attempts WHERE job_id = $1", id))
			f.exec(t, "SELECT penstock.cancel($1)", id) // out of the way
		})
	}
	for _, c := range []struct {
		name, call, code, column string
	}{
		{"fail", "penstock.fail('q', $1, 2)", "PN409", ""},
		{"snooze", "penstock.snooze('q', $1, 2, '1 hour')", "PN409", ""},
		{"release", "penstock.release('q', $1, 2)", "PN409", ""},
		{"another queue", "penstock.release('r', $1, 1)", "PN409", ""},
		{"no attempt", "penstock.fail('q', $1, NULL)", "PN409", ""},
		{"no delay", "penstock.snooze('q', $1, 1, NULL)", "PN400", "delay"},
		{"a delay behind", "penstock.snooze('q', $1, 1, '-1 second')", "PN400", "delay"},
		{"a delay too far ahead", "penstock.fail('q', $1, 1, delay => '367 days')", "PN400", "delay"},
	} {
		t.Run(c.name+" is refused and changes nothing", func(t *testing.T) {
			id := lease()
			ctx, cancel := soon()
			defer cancel()
			_, err := f.Pool.Exec(ctx, "SELECT "+c.call, id)
			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.code, refused.Code, refused.Message)
			require.Equal(t, c.column, refused.ColumnName)
			require.Equal(t, "running", ask[string](t, f, "SELECT state FROM penstock.job_states WHERE id = $1", id))
			f.exec(t, "SELECT penstock.complete('q', $1, 1)", id)
		})
	}
}
