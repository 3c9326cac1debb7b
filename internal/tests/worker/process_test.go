package worker_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is a worker in a process of its own.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *record[report]
	exited  chan struct{}
	worker  int64 // its first id
}

// spawn starts a worker process on the fixture's database and waits until it
// claims. The end of the test kills what is left of it.
func (f *fixture) spawn(t *testing.T, s childSetup) *process {
	t.Helper()
	if s.URL == "" {
		s.URL = f.URL
	}
	if s.Queue == "" {
		s.Queue = "q"
	}
	setup, err := json.Marshal(s)
	require.NoError(t, err)
	p := &process{cmd: exec.Command(os.Args[0]), reports: newRecord[report](), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(setup))
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r report
			if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
				p.reports.add(r)
			}
		}
		_ = p.cmd.Wait() // how it ended is the test's doing
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("worker process %d wrote:\n%s", p.worker, stderr.Bytes())
		}
	})
	p.worker = p.await(t, "ready", 1)[0].Worker
	return p
}

// kill is kill -9: nothing of the process is left when it returns.
func (p *process) kill(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Kill() // fails when it has exited
	await(t, "the end of a killed process", p.exited)
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// say sends an order: see child.
func (p *process) say(t *testing.T, order string) {
	t.Helper()
	_, err := io.WriteString(p.stdin, order+"\n")
	require.NoError(t, err)
}

// stop drains the worker and checks that its Run left no goroutine.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.say(t, "stop")
	require.Empty(t, p.await(t, "stopped", 1)[0].Text, "goroutines that Run left behind")
}

func (p *process) await(t *testing.T, what string, n int) []report {
	t.Helper()
	return p.reports.await(t, what, n, func(r report) bool { return r.What == what })
}

// awaitJob waits for the first report of a kind about a job.
func (p *process) awaitJob(t *testing.T, what string, id int64) report {
	t.Helper()
	return p.reports.await(t, what, 1, func(r report) bool { return r.What == what && r.Job == id })[0]
}

func (p *process) reported(what string) []report {
	return p.reports.which(func(r report) bool { return r.What == what })
}
