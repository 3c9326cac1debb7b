//go:build unix

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/command/commandtest"
	"github.com/penstock/penstock/internal/terminal"
	"github.com/penstock/penstock/internal/testkit"
)

// start runs penstock as a process.
func start(t *testing.T, environ []string, args ...string) *commandtest.Program {
	t.Helper()
	return commandtest.Start(t, "penstock", environ, args...)
}

// working starts a worker on one job, whose command is sh -c script with a lifeline in
// $LIFELINE, and returns once the command holds it.
func working(t *testing.T, script string) (db *testkit.DB, id int64, p *commandtest.Program, awaitDead func()) {
	t.Helper()
	db = testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	id, err = client.Enqueue(context.Background(), penstock.NewJob{Queue: "q", Name: "n"})
	require.NoError(t, err)
	path := lifeline(t)
	p = start(t, []string{"DATABASE_URL=" + db.URL, "LIFELINE=" + path}, "work", "--log-level", "debug", "--queue", "q", "--", "sh", "-c", script)
	return db, id, p, awaitAlive(t, path)
}

func jobState(t *testing.T, db *testkit.DB, id int64) penstock.State {
	t.Helper()
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	job, err := client.Job(context.Background(), id)
	require.NoError(t, err)
	return job.State
}

func TestSIGTERMLetsARunningCommandFinish(t *testing.T) {
	t.Parallel()
	release := lifeline(t) // the command ends when the test opens it
	db, id, p, awaitDead := working(t, `exec 3> "$LIFELINE"; read line < `+terminal.ShellQuote(release)+`; exit 0`)
	p.Signal(t, syscall.SIGTERM)
	p.Await(t, "draining")
	require.Equal(t, penstock.Running, jobState(t, db, id))
	require.NoError(t, os.WriteFile(release, []byte("go on\n"), 0))
	awaitDead()
	require.Equal(t, command.ExitDone, p.Exit(t))
	require.Equal(t, penstock.Completed, jobState(t, db, id))
}

func TestASecondSignalKillsCommandsAndExitsAtOnce(t *testing.T) {
	t.Parallel()
	db, id, p, awaitDead := working(t, `trap '' TERM INT; sleep 600 > "$LIFELINE" & wait`)
	p.Signal(t, syscall.SIGINT)
	p.Await(t, "draining")
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, 128+15, p.Exit(t))
	awaitDead()
	require.Equal(t, penstock.Running, jobState(t, db, id), "until its lease is over") // P9 takes it from there
}

func TestAKilledWorkerTakesItsCommandAlong(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process that its parent is gone")
	}
	_, _, p, awaitDead := working(t, `exec sleep 600 > "$LIFELINE"`)
	p.Signal(t, syscall.SIGKILL)
	awaitDead()
}

func TestACancelledJobsCommandIsStopped(t *testing.T) {
	t.Parallel()
	db, id, p, awaitDead := working(t, `sleep 600 > "$LIFELINE" & wait`)
	got := call(t, []string{"DATABASE_URL=" + db.URL}, "", "job", "cancel", "--", strconv.FormatInt(id, 10))
	require.Equal(t, command.ExitDone, got.code, got.stderr)
	require.Contains(t, got.stdout, "its worker was told to stop it")
	awaitDead()
	p.Await(t, `"attempt finished".*"cancelled"`)
	require.Equal(t, penstock.Cancelled, jobState(t, db, id))
}

func TestServeMigratesAnswersAndDrains(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	got := call(t, []string{"DATABASE_URL=" + db.URL}, "", "migrate", "down", "--to", "0", "--yes")
	require.Equal(t, command.ExitDone, got.code, got.stderr)

	p := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--log-format", "console", "--listen", "127.0.0.1:0")
	address := p.Await(t, `serving +(http://\S+)`)[1]
	p.Await(t, "migrations applied just now")
	p.Await(t, "What to type next")
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get(address + path)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
	}
	http.DefaultClient.CloseIdleConnections()
	p.Signal(t, syscall.SIGTERM)
	p.Await(t, "draining")
	require.Equal(t, command.ExitDone, p.Exit(t))
}

// TestServeKeepsAPrivateDatabase runs two servers after each other on one directory;
// between them only the data is left.
func TestServeKeepsAPrivateDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // root's PostgreSQL runs as another user
	environ := []string{"PENSTOCK_DATA_DIR=" + filepath.Join(dir, "pg")}
	var id string
	for run := range 2 {
		p := start(t, environ, "serve", "--log-format", "console", "--listen", "127.0.0.1:0")
		p.Await(t, "a private PostgreSQL")
		p.Await(t, "ctrl-C stops the server")
		if run == 0 {
			got := call(t, environ, "", "enqueue", "q", "n")
			require.Equal(t, command.ExitDone, got.code, got.stderr)
			id = strings.TrimSpace(got.stdout)
		}
		got := call(t, environ, "", "job", "get", id)
		require.Equal(t, command.ExitDone, got.code, got.stderr)
		require.Empty(t, got.stderr, "the directory was named")
		got = call(t, environ, "", "job", "get", id, "-v")
		require.Contains(t, got.stderr, "penstock: using the private PostgreSQL in "+filepath.Join(dir, "pg")+": DATABASE_URL is not set")
		p.Signal(t, syscall.SIGTERM)
		require.Equal(t, command.ExitDone, p.Exit(t))
	}
	got := call(t, environ, "", "job", "get", id)
	require.Equal(t, command.ExitFailed, got.code)
	require.Contains(t, got.stderr, "penstock serve")
}

func TestServeWithoutATerminalPrintsItsLogAlone(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	p := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--listen", "127.0.0.1:0")
	p.Await(t, `"msg":"serving"`)
	p.Signal(t, syscall.SIGTERM)
	for _, line := range p.Lines(t) {
		require.True(t, json.Valid([]byte(line)), line)
	}
	require.Equal(t, command.ExitDone, p.Exit(t))
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	first := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--log-format", "console", "--listen", "127.0.0.1:0")
	taken := strings.TrimPrefix(first.Await(t, `serving +(http://\S+)`)[1], "http://")
	second := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--log-format", "console", "--listen", taken)
	second.Await(t, regexp.QuoteMeta(taken)+".*choose another address with --listen")
	require.Equal(t, command.ExitFailed, second.Exit(t))
}

// Nothing carries the redrive on here: it is under way as long as the test wants.
func TestARedriveGoesOnWithoutTheOneWhoWatchedIt(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	environ := []string{"DATABASE_URL=" + db.URL, "PATH=/usr/bin:/bin"}
	require.Equal(t, command.ExitDone, call(t, environ, "", "enqueue", "q", "n", "--max-attempts", "1").code)
	require.Equal(t, command.ExitDone, call(t, environ, "", "work", "--queue", "q", "--drain", "--", "false").code)
	p := start(t, environ, "dlq", "redrive", "q", "--yes")
	id := p.Await(t, `^Redrive (\d+) began: 1 dead job of queue q\.$`)[1]
	p.Signal(t, os.Interrupt)
	p.Await(t, "goes on without this command")
	p.Await(t, "dlq redrive pause "+id+"$")
	require.Equal(t, command.ExitFailed, p.Exit(t))
	got := call(t, environ, "", "dlq", "redrive", "status", id)
	require.Regexp(t, `(?m)^state +running$`, got.stdout)
}

func TestServeBeyondLoopbackNeedsAToken(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	environ := []string{"DATABASE_URL=" + db.URL}
	got := call(t, environ, "", "serve", "--log-format", "console", "--listen", "0.0.0.0:0")
	require.Equal(t, command.ExitFailed, got.code)
	require.Contains(t, got.stderr, "other machines can reach this address, and there is no token yet")
	require.Contains(t, got.stderr, "penstock token create NAME --role admin")
	require.Contains(t, got.stderr, "docker run --rm -e DATABASE_URL=")

	got = call(t, environ, "", "token", "create", "root", "--role", "admin")
	require.Equal(t, command.ExitDone, got.code, got.stderr)
	p := start(t, environ, "serve", "--log-format", "console", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0")
	p.Await(t, `serving +(http://\S+)`)
	admin := p.Await(t, `admin +(http://\S+)`)[1]
	answer, err := http.Get(admin + "/debug/pprof/cmdline")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, command.ExitDone, p.Exit(t))
}

func TestServeOfNothingIsAUsageError(t *testing.T) {
	got := call(t, nil, "", "serve", "--api=false", "--maintenance=false")
	require.Equal(t, command.ExitUsage, got.code)
	require.Contains(t, got.stderr, "there is nothing to serve")
}
