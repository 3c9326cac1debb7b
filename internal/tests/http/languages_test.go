package http_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

const patience = time.Minute

// languages are the workers of docs/workers, and what runs them.
var languages = []struct {
	name  string
	tools []string
	argv  []string
}{
	{"shell", []string{"sh", "curl", "jq"}, []string{"sh", "worker.sh", "q", "cat"}},
	{"python", []string{"python3"}, []string{"python3", "worker.py", "q"}},
	{"node", []string{"node"}, []string{"node", "worker.mjs", "q"}},
}

// program is a worker of docs/workers that runs against the fixture's API.
type program struct {
	*exec.Cmd
	lines chan string // what it printed; closed at its end
}

func (f *fixture) start(t *testing.T, url string, argv ...string) *program {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = filepath.Join("..", "..", "..", "docs", "workers")
	cmd.Env = append(os.Environ(), "PENSTOCK_URL="+url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that a shell starts
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.WaitDelay = time.Second
	require.NoError(t, cmd.Start())
	p := &program{cmd, make(chan string, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			p.lines <- lines.Text()
		}
		close(p.lines)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		writer.Close()
		<-ended
	})
	return p
}

// printed waits for a line that begins so.
func (p *program) printed(t *testing.T, beginning string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok || strings.HasPrefix(line, beginning) {
				require.True(t, ok, "it ended without a line that begins with %q", beginning)
				return
			}
			t.Log(line)
		case <-late:
			t.Fatalf("no line begins with %q", beginning)
		}
	}
}

// requireTools is for the long tests: a worker in another language waits for seconds.
func requireTools(t *testing.T, tools ...string) {
	t.Helper()
	testkit.Long(t)
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed here", tool)
		}
	}
}

func serve(t *testing.T, f *fixture) string {
	t.Helper()
	server := httptest.NewServer(f.echo)
	t.Cleanup(server.Close)
	return server.URL
}

func TestEachLanguagesWorkerWorksAndLeaves(t *testing.T) {
	t.Parallel()
	for _, language := range languages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			requireTools(t, language.tools...)
			f := ofRemote(t)
			url := serve(t, f)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			f.exec(t, "DELETE FROM penstock.workers")
			done, err := f.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "echo", Data: object{"to": "ada ✓"}})
			require.NoError(t, err)
			p := f.start(t, url, language.argv...)
			job, err := f.client.Wait(ctx, done)
			require.NoError(t, err)
			require.Equal(t, penstock.Completed, job.State)
			if language.name != "shell" { // which keeps no result
				require.JSONEq(t, `{"to": "ada ✓"}`, string(job.Attempts[0].Result))
			}
			require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.workers"))

			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
			require.Eventually(t, func() bool { return ask[int](t, f, "SELECT count(*) FROM penstock.workers") == 0 },
				patience, 20*time.Millisecond, "it takes its leave")
		})
	}
}

func TestAFailureInAnotherLanguageIsRetried(t *testing.T) {
	t.Parallel()
	requireTools(t, "sh", "curl", "jq")
	f := ofRemote(t)
	url := serve(t, f)
	enqueued := post[object](t, f, queues+"q/jobs", object{"name": "n", "data": 1})
	p := f.start(t, url, "sh", "worker.sh", "q", "sh", "-c", "echo no such host >&2; exit 3")
	p.printed(t, "job "+enqueued["id"].(string)+": accepted retrying")
	job, err := f.client.Job(context.Background(), number(t, enqueued["id"]))
	require.NoError(t, err)
	require.Equal(t, "no such host", job.Attempts[0].Message)
}

func TestAKilledWorkersJobRunsAgainElsewhere(t *testing.T) { // P9
	t.Parallel()
	requireTools(t, "python3")
	f := ofRemote(t)
	url := serve(t, f)
	// Any worker or server of the database notices who is silent.
	sweeper, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"other": {}}})
	require.NoError(t, err)
	penstock.Handle(sweeper, "other", "n", func(context.Context, *penstock.Job[any]) error { return nil })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })

	enqueued := post[object](t, f, queues+"q/jobs", object{"name": "echo", "data": object{"seconds": 300}})
	id := enqueued["id"].(string)
	first := f.start(t, url, "python3", "worker.py", "q")
	first.printed(t, "job "+id+": attempt 1")
	require.NoError(t, syscall.Kill(-first.Process.Pid, syscall.SIGKILL))
	killed := time.Now()
	second := f.start(t, url, "python3", "worker.py", "q")
	second.printed(t, "job "+id+": attempt 2")
	t.Logf("ran again %.1f s after its worker was killed", time.Since(killed).Seconds())
}

// Another version of the program may know the job: it goes back and costs nothing.
func TestAnUnknownJobNameIsGivenBackAtNoCost(t *testing.T) {
	t.Parallel()
	for _, language := range languages[1:] { // the shell runs every job
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			requireTools(t, language.tools...)
			f := ofRemote(t)
			id := f.enqueue(t, "q", object{"name": "constructor"})
			f.start(t, serve(t, f), language.argv...).printed(t, "job "+strconv.FormatInt(id, 10)+": accepted")
			require.Equal(t, "released", ask[string](t, f, "SELECT outcome FROM penstock.attempts WHERE job_id = $1", id))
			require.Zero(t, ask[int](t, f, "SELECT failures FROM penstock.pending WHERE job_id = $1", id))
		})
	}
}

// A result that Postgres cannot store is refused; the worker ends the attempt otherwise
// and goes on with the next job.
func TestARefusedEndDoesNotStopAWorker(t *testing.T) {
	t.Parallel()
	for _, language := range languages[1:] { // the shell sends no result
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			requireTools(t, language.tools...)
			f := ofRemote(t)
			program := f.start(t, serve(t, f), language.argv...)
			// Python escapes é when it returns the data as its result: more than 1 MiB then.
			bad := f.enqueue(t, "q", object{"name": "echo", "data": object{"x": strings.Repeat("y", 900_000), "z": strings.Repeat("é", 60_000)}})
			program.printed(t, "job "+strconv.FormatInt(bad, 10)+": ")
			good := f.enqueue(t, "q", object{"name": "echo", "data": object{"n": 1}})
			program.printed(t, "job "+strconv.FormatInt(good, 10)+": accepted completed")
		})
	}
}

func TestTheShellWorkerPassesDataByteForByteAndHidesItsToken(t *testing.T) {
	t.Parallel()
	requireTools(t, "sh", "curl", "jq")
	f := ofRemote(t)
	out := filepath.Join(t.TempDir(), "data")
	id := f.enqueue(t, "q", object{"name": "n", "data": json.RawMessage(`{"id":9007199254740993,"data":"},{\"data\":1","price":1.10,"ü":"\\"}`)})
	f.start(t, serve(t, f), "sh", "worker.sh", "q", "sh", "-c", `cat >"$0"; env >"$0.env"`, out).printed(t, "job "+strconv.FormatInt(id, 10)+": accepted")
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Contains(t, string(text), "9007199254740993")
	require.Contains(t, string(text), "1.10")
	require.JSONEq(t, `{"id":9007199254740993,"data":"},{\"data\":1","price":1.10,"ü":"\\"}`, string(text))
	script, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "workers", "worker.sh"))
	require.NoError(t, err)
	require.NotRegexp(t, `curl[^\n]*TOKEN`, string(script))
}
