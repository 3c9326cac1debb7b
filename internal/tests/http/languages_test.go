package http_test

import (
	"bufio"
	"context"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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
