package commandtest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Program is a process that runs while the test does.
type Program struct {
	cmd    *exec.Cmd
	lines  chan string // of stdout and stderr, in the order they came
	exited chan int
	seen   []string // by Await, in order
}

// Start runs the test's program of this name as a process. The end of the test kills it.
func Start(t *testing.T, name string, environ []string, args ...string) *Program {
	t.Helper()
	p := &Program{
		cmd:   exec.Command(filepath.Join(ProgramDir(t, name), name), args...),
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

// Await returns the first line that matches.
func (p *Program) Await(t *testing.T, pattern string) []string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	limit := time.After(time.Minute)
	for {
		select {
		case line, more := <-p.lines:
			if more {
				p.seen = append(p.seen, line)
			}
			if found := wanted.FindStringSubmatch(line); found != nil {
				return found
			}
			if !more {
				t.Fatalf("it ended before %q:\n%s", pattern, strings.Join(p.seen, "\n"))
			}
		case <-limit:
			t.Fatalf("no %q within a minute:\n%s", pattern, strings.Join(p.seen, "\n"))
		}
	}
}

// Signal sends the process a signal.
func (p *Program) Signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// Exit waits for the end and returns the exit code, -1 after a signal.
func (p *Program) Exit(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.exited:
		return code
	case <-time.After(time.Minute):
		t.Fatal("it did not exit within a minute")
		return 0
	}
}

// Lines waits for the end and returns everything that was printed.
func (p *Program) Lines(t *testing.T) []string {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line, more := <-p.lines:
			if !more {
				return p.seen
			}
			p.seen = append(p.seen, line)
		case <-limit:
			t.Fatalf("it did not end within a minute:\n%s", strings.Join(p.seen, "\n"))
		}
	}
}
