package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock"
)

const (
	exitNonRetryable = 65 // EX_DATAERR of sysexits.h

	maxResult = 256 << 10 // of stdout, well under what Postgres takes
	maxStderr = 16 << 10  // the tail that becomes the error's detail

	// killGrace is what a command has between SIGTERM and SIGKILL. It is shorter than
	// the 5 s that a stopping worker waits for its handlers.
	killGrace = 3 * time.Second

	// pipeGrace is how long output is read on after the command's end, when something
	// it left behind still holds the pipe.
	pipeGrace = time.Second
)

// commands runs a command per job, each in a process group of its own, so that a
// terminal's ctrl-C reaches penstock and not them, and killing the group leaves
// nothing of the job behind that did not leave the group itself.
type commands struct {
	path    string
	argv    []string
	environ []string // without the variables that jobs bring
	log     *zap.Logger
	starter *starter
	grace   time.Duration // between SIGTERM and SIGKILL

	mu     sync.Mutex
	groups map[int]struct{} // guarded by mu; leaders that run, whose ids are their groups'
	killed bool             // guarded by mu; killAll was called: nothing starts any more
}

func newCommands(path string, argv, environ []string, log *zap.Logger) *commands {
	return &commands{
		path: path, argv: argv, environ: withoutJob(environ), log: log,
		starter: newStarter(), grace: killGrace, groups: map[int]struct{}{},
	}
}

func (c *commands) close() { c.starter.close() }

// handle is the handler of every job: it returns when the command and its group are gone.
func (c *commands) handle(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
	stdout, stderr := &head{limit: maxResult}, &tail{limit: maxStderr}
	cmd := exec.Command(c.path)
	cmd.Args = c.argv
	cmd.Env = append(jobEnviron(job), c.environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(job.Data), stdout, stderr
	cmd.WaitDelay = pipeGrace
	if err := c.start(cmd); err != nil {
		return &commandError{class: "StartError", message: err.Error()}
	}
	stopped, err := c.wait(ctx, cmd)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it exited 0; what it left behind is dead by now
	}
	if stopped {
		return newCommandError("Stopped", "the command was stopped", stderr)
	}
	if err != nil {
		return judgeExit(err, stderr)
	}
	c.keepResult(ctx, job.ID, stdout)
	return nil
}

func (c *commands) start(cmd *exec.Cmd) error {
	ownGroup(cmd)
	return c.starter.do(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.killed {
			return errors.New("penstock is exiting")
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		c.groups[cmd.Process.Pid] = struct{}{}
		return nil
	})
}

// wait returns when the command has ended and nothing of its group is left. stopped
// says that ctx ended first, and so that what the exit status says means nothing.
func (c *commands) wait(ctx context.Context, cmd *exec.Cmd) (stopped bool, err error) {
	group := cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		stopped = true
		terminateGroup(group)
		grace := time.NewTimer(c.grace)
		defer grace.Stop()
		select {
		case err = <-ended:
		case <-grace.C:
			killGroup(group)
			err = <-ended
		}
	}
	// The leader is gone; its id stays the group's as long as anyone is in it.
	killGroup(group)
	c.mu.Lock()
	delete(c.groups, group)
	c.mu.Unlock()
	return stopped, err
}

// killAll kills every command that runs and lets none start: the process exits next.
func (c *commands) killAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	for group := range c.groups {
		killGroup(group)
	}
}

// keepResult keeps stdout with the attempt if it is JSON. A result that cannot be kept
// is no failure of the command's: the log says so.
func (c *commands) keepResult(ctx context.Context, id int64, stdout *head) {
	if stdout.cut {
		c.log.Warn("output is too long to be kept as the result", zap.Int64("job_id", id), zap.Int("limit", maxResult))
		return
	}
	result := bytes.TrimSpace(stdout.text)
	if !json.Valid(result) {
		return
	}
	if err := penstock.Result(ctx, json.RawMessage(result)); err != nil {
		c.log.Warn("output cannot be kept as the result", zap.Int64("job_id", id), zap.Error(err))
	}
}

// commandError is how a command failed: its class says which way, its message is the
// last line of stderr, its detail the tail.
type commandError struct{ class, message, detail string }

func (e *commandError) Error() string       { return e.message }
func (e *commandError) ErrorClass() string  { return e.class }
func (e *commandError) ErrorDetail() string { return e.detail }

// judgeExit turns what Wait said into what the queue does with the job.
func judgeExit(err error, stderr *tail) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case !ok:
		return newCommandError("ExitError", err.Error(), stderr)
	case !exit.Exited():
		return newCommandError("SignalError", exit.String(), stderr)
	case exit.ExitCode() == exitNonRetryable:
		return penstock.Dead(newCommandError("NonRetryable", exit.String(), stderr))
	}
	return newCommandError("ExitError", exit.String(), stderr)
}

// newCommandError takes ending, such as "exit status 7", for the message when stderr
// is silent, and as the detail's last line otherwise.
func newCommandError(class, ending string, stderr *tail) error {
	said := stderr.String()
	if said == "" {
		return &commandError{class: class, message: ending}
	}
	last := said[strings.LastIndexByte(said, '\n')+1:]
	return &commandError{class, strings.TrimSpace(last), said + "\n" + ending}
}

// jobEnviron is what a command learns beside the data. Tags hold no commas.
func jobEnviron(job *penstock.Job[json.RawMessage]) []string {
	return []string{
		"PENSTOCK_JOB_ID=" + strconv.FormatInt(job.ID, 10),
		"PENSTOCK_QUEUE=" + job.Queue,
		"PENSTOCK_NAME=" + job.Name,
		"PENSTOCK_ATTEMPT=" + strconv.Itoa(job.Attempt),
		"PENSTOCK_FAILURES=" + strconv.Itoa(job.Failures),
		"PENSTOCK_CRASHES=" + strconv.Itoa(job.Crashes),
		"PENSTOCK_PRIORITY=" + strconv.Itoa(job.Priority),
		"PENSTOCK_TAGS=" + strings.Join(job.Tags, ","),
		"PENSTOCK_ENQUEUED_AT=" + job.EnqueuedAt.Format(time.RFC3339Nano),
		"PENSTOCK_TIMEOUT=" + fmt.Sprint(job.Timeout.Seconds()),
		"PENSTOCK_TRACE_CONTEXT=" + job.TraceContext,
	}
}

// withoutJob drops the variables that jobEnviron sets: penstock itself may be running
// for a job.
func withoutJob(environ []string) (kept []string) {
	own := map[string]bool{}
	for _, pair := range jobEnviron(&penstock.Job[json.RawMessage]{}) {
		name, _, _ := strings.Cut(pair, "=")
		own[name] = true
	}
	for _, pair := range environ {
		if name, _, _ := strings.Cut(pair, "="); !own[name] {
			kept = append(kept, pair)
		}
	}
	return kept
}
