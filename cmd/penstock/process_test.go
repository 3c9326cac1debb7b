//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// process is a penstock that runs beside the test.
type process struct {
	cmd    *exec.Cmd
	lines  chan string // of stdout and stderr, in the order they came
	exited chan int
}

// start runs penstock as a process, which is killed with the test if it is still there.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	p := &process{
		cmd:   exec.Command(filepath.Join(programDir(t), "penstock"), args...),
		lines: make(chan string, 1000), exited: make(chan int, 1),
	}
	output, writer := io.Pipe()
	p.cmd.Env = append(environ, "PATH="+os.Getenv("PATH"), "GORACE="+quickExit)
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	require.NoError(t, p.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	go func() {
		_ = p.cmd.Wait() // the exit code below says it
		writer.Close()
		p.exited <- p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails only when it has exited
		<-read
	})
	return p
}

// await returns the first line that matches.
func (p *process) await(t *testing.T, pattern string) []string {
	t.Helper()
	wanted, seen := regexp.MustCompile(pattern), []string{}
	limit := time.After(time.Minute)
	for {
		select {
		case line, more := <-p.lines:
			seen = append(seen, line)
			if found := wanted.FindStringSubmatch(line); found != nil {
				return found
			}
			if !more {
				t.Fatalf("it ended before %q:\n%s", pattern, strings.Join(seen, "\n"))
			}
		case <-limit:
			t.Fatalf("no %q within a minute:\n%s", pattern, strings.Join(seen, "\n"))
		}
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// exit waits for the end and returns the exit code, -1 after a signal.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.exited:
		return code
	case <-time.After(time.Minute):
		t.Fatal("it did not exit within a minute")
		return 0
	}
}

// working starts a worker on one job, whose command is sh -c script with a lifeline in
// $LIFELINE, and returns once the command holds it.
func working(t *testing.T, script string) (db *testkit.DB, id int64, p *process, awaitDead func()) {
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
	db, id, p, awaitDead := working(t, `exec 3> "$LIFELINE"; read line < `+shellQuote(release)+`; exit 0`)
	p.signal(t, syscall.SIGTERM)
	p.await(t, "draining")
	require.Equal(t, penstock.Running, jobState(t, db, id))
	require.NoError(t, os.WriteFile(release, []byte("go on\n"), 0))
	awaitDead()
	require.Equal(t, exitDone, p.exit(t))
	require.Equal(t, penstock.Completed, jobState(t, db, id))
}

func TestASecondSignalKillsCommandsAndExitsAtOnce(t *testing.T) {
	t.Parallel()
	db, id, p, awaitDead := working(t, `trap '' TERM INT; sleep 600 > "$LIFELINE" & wait`)
	p.signal(t, syscall.SIGINT)
	p.await(t, "draining")
	p.signal(t, syscall.SIGTERM)
	require.Equal(t, 128+15, p.exit(t))
	awaitDead()
	require.Equal(t, penstock.Running, jobState(t, db, id), "until its lease is over") // P9 takes it from there
}

func TestAKilledWorkerTakesItsCommandAlong(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process that its parent is gone")
	}
	_, _, p, awaitDead := working(t, `exec sleep 600 > "$LIFELINE"`)
	p.signal(t, syscall.SIGKILL)
	awaitDead()
}

func TestACancelledJobsCommandIsStopped(t *testing.T) {
	t.Parallel()
	db, id, p, awaitDead := working(t, `sleep 600 > "$LIFELINE" & wait`)
	got := command(t, []string{"DATABASE_URL=" + db.URL}, "", "job", "cancel", "--", strconv.FormatInt(id, 10))
	require.Equal(t, exitDone, got.code, got.stderr)
	require.Contains(t, got.stdout, "its worker was told to stop it")
	awaitDead()
	p.await(t, `"attempt finished".*"cancelled"`)
	require.Equal(t, penstock.Cancelled, jobState(t, db, id))
}

func TestServeMigratesAnswersAndDrains(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	got := command(t, []string{"DATABASE_URL=" + db.URL}, "", "migrate", "down", "--to", "0", "--yes")
	require.Equal(t, exitDone, got.code, got.stderr)

	p := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--listen", "127.0.0.1:0")
	address := p.await(t, `serving +(http://\S+)`)[1]
	p.await(t, "migrations applied just now")
	p.await(t, "What to type next")
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get(address + path)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
	}
	http.DefaultClient.CloseIdleConnections()
	p.signal(t, syscall.SIGTERM)
	p.await(t, "draining")
	require.Equal(t, exitDone, p.exit(t))
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
		p := start(t, environ, "serve", "--listen", "127.0.0.1:0")
		p.await(t, "a private PostgreSQL")
		p.await(t, "ctrl-C stops the server")
		if run == 0 {
			got := command(t, environ, "", "enqueue", "q", "n")
			require.Equal(t, exitDone, got.code, got.stderr)
			id = strings.TrimSpace(got.stdout)
		}
		got := command(t, environ, "", "job", "get", id)
		require.Equal(t, exitDone, got.code, got.stderr)
		p.signal(t, syscall.SIGTERM)
		require.Equal(t, exitDone, p.exit(t))
	}
	got := command(t, environ, "", "job", "get", id)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "penstock serve")
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	first := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--listen", "127.0.0.1:0")
	taken := strings.TrimPrefix(first.await(t, `serving +(http://\S+)`)[1], "http://")
	second := start(t, []string{"DATABASE_URL=" + db.URL}, "serve", "--listen", taken)
	second.await(t, regexp.QuoteMeta(taken)+".*choose another address with --listen")
	require.Equal(t, exitFailed, second.exit(t))
}

// Nothing carries the redrive on here: it is under way as long as the test wants.
func TestARedriveGoesOnWithoutTheOneWhoWatchedIt(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	environ := []string{"DATABASE_URL=" + db.URL, "PATH=/usr/bin:/bin"}
	require.Equal(t, exitDone, command(t, environ, "", "enqueue", "q", "n", "--max-attempts", "1").code)
	require.Equal(t, exitDone, command(t, environ, "", "work", "--queue", "q", "--drain", "--", "false").code)
	p := start(t, environ, "dlq", "redrive", "q", "--yes")
	id := p.await(t, `^Redrive (\d+) began: 1 dead job of queue q\.$`)[1]
	p.signal(t, os.Interrupt)
	p.await(t, "goes on without this command")
	p.await(t, "dlq redrive pause "+id+"$")
	require.Equal(t, exitFailed, p.exit(t))
	got := command(t, environ, "", "dlq", "redrive", "status", id)
	require.Regexp(t, `(?m)^state +running$`, got.stdout)
}

func TestServeBeyondLoopbackNeedsAToken(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	environ := []string{"DATABASE_URL=" + db.URL}
	got := command(t, environ, "", "serve", "--listen", "0.0.0.0:0")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "this address can be reached from elsewhere, and there is no token yet")
	require.Contains(t, got.stderr, "penstock token create NAME --role admin")
	require.Contains(t, got.stderr, "docker run --rm -e DATABASE_URL=")

	got = command(t, environ, "", "token", "create", "root", "--role", "admin")
	require.Equal(t, exitDone, got.code, got.stderr)
	p := start(t, environ, "serve", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0")
	p.await(t, `serving +(http://\S+)`)
	admin := p.await(t, `admin +(http://\S+)`)[1]
	answer, err := http.Get(admin + "/debug/pprof/cmdline")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	p.signal(t, syscall.SIGTERM)
	require.Equal(t, exitDone, p.exit(t))
}

func TestServeOfNothingIsAUsageError(t *testing.T) {
	got := command(t, nil, "", "serve", "--api=false", "--maintenance=false")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.stderr, "there is nothing to do")
}
