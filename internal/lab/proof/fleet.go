package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/lab/wire"
)

// fleet is the child processes. Each connects to Postgres through its own proxy.
type fleet struct {
	opts             *Options
	dir              string // of histories and sockets
	host             string // of the server
	pooler           string // of what producers connect to instead; empty: the server
	rate             float64
	maxJobs          int64          // jobs of one producer
	stopped          bool           // no process is started any more
	onFailpointCrash func(*process) // called for a process that a failpoint ended

	mu              sync.Mutex // guards what follows
	next            int
	live            map[int]*process
	pids            map[int]int // process number by pid, ended processes included
	endedSpans      []Span      // lifetimes of workers and servers that have ended
	unexpectedExits []string    // processes that exited without being killed or stopped
}

// process is one child.
type process struct {
	number int
	role   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *stderrTail
	proxy  *wire.Proxy
	exited chan struct{}

	started time.Time

	ending bool // killed or ordered to stop; guarded by the fleet's mu
	frozen bool // guarded by the fleet's mu
}

// stderrTail keeps the end of a child's standard error.
type stderrTail struct {
	mu   sync.Mutex
	text []byte
}

func (l *stderrTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-4<<10):]
	return len(p), nil
}

func (l *stderrTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}

// appName names a process's sessions by its role and number.
const appName = "proof %s %d"

func newFleet(opts *Options, dir, host string) *fleet {
	return &fleet{opts: opts, dir: dir, host: host, live: map[int]*process{}, pids: map[int]int{}}
}

func (f *fleet) spawn(role string) error {
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return nil
	}
	f.next++
	p := &process{number: f.next, role: role, exited: make(chan struct{}), started: time.Now(), stderr: &stderrTail{}}
	f.mu.Unlock()
	var err error
	host, query := f.host, ""
	if role == "producer" && f.pooler != "" {
		// In a pooler's transactions there is no session for prepared statements.
		host, query = f.pooler, "&default_query_exec_mode=cache_describe"
	}
	if p.proxy, err = wire.Listen(filepath.Join(f.dir, "p"+strconv.Itoa(p.number)), host); err != nil {
		return err
	}
	s := childConfig{
		Role: role, Process: p.number, Seed: f.opts.Seed, URL: "postgres://postgres@/postgres?host=" + p.proxy.Dir() + query,
		History: filepath.Join(f.dir, "history"), Lease: f.opts.Lease, Rate: f.rate, Most: f.maxJobs,
		More: f.opts.optional || f.opts.platform.more,
	}
	s.URL += "&application_name=" + url.PathEscape(fmt.Sprintf(appName, role, p.number))
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(f.opts.Child[0], f.opts.Child[1:]...)
	p.cmd.Env = append(p.cmd.Environ(), f.opts.ChildEnv...)
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		p.proxy.Close()
		return fmt.Errorf("start process %d: %w", p.number, err)
	}
	f.mu.Lock()
	f.live[p.number], f.pids[p.cmd.Process.Pid] = p, p.number
	f.mu.Unlock()
	go f.waitForExit(p)
	_, err = p.stdin.Write(append(line, '\n'))
	if err != nil {
		return fmt.Errorf("configure process %d: %w", p.number, err)
	}
	return nil
}

// waitForExit waits for the end of a child.
func (f *fleet) waitForExit(p *process) {
	err := p.cmd.Wait()
	p.proxy.Close()
	f.mu.Lock()
	delete(f.live, p.number)
	if p.role != "producer" {
		f.endedSpans = append(f.endedSpans, Span{p.number, p.started, time.Now()})
	}
	again := !p.ending && p.role == "server" && time.Since(p.started) < serverStartPatience
	if !p.ending && p.cmd.ProcessState.ExitCode() == failpoint.ExitCode {
		again = true
		f.onFailpointCrash(p)
	}
	if !p.ending && !again && (err != nil || p.role != "producer") { // a producer may end when it has enqueued its share
		f.unexpectedExits = append(f.unexpectedExits, fmt.Sprintf("%s process %d: %v: %s", p.role, p.number, err, p.stderr))
	}
	f.mu.Unlock()
	close(p.exited)
	if again { // as a supervisor would
		_ = f.spawn(p.role)
	}
}

// serverStartPatience: a server that cannot reach Postgres at its start exits after a
// while. One that has started keeps trying.
const serverStartPatience = 40 * time.Second

// pick returns a running process of one of the roles, or nil. It never returns a frozen
// one.
func (f *fleet) pick(rng *rand.Rand, roles ...string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*process
	for n := range f.next + 1 { // in order, so that the same seed picks the same process
		p := f.live[n]
		if p == nil || p.ending || p.frozen {
			continue
		}
		for _, role := range roles {
			if p.role == role {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[rng.IntN(len(all))]
}

// each calls do for every running process of a role, in order.
func (f *fleet) each(role string, do func(*process)) {
	f.mu.Lock()
	var all []*process
	for n := range f.next + 1 {
		if p := f.live[n]; p != nil && !p.ending && (role == "" || p.role == role) {
			all = append(all, p)
		}
	}
	f.mu.Unlock()
	for _, p := range all {
		do(p)
	}
}

// kill is kill -9; it returns when the process is gone.
func (f *fleet) kill(p *process) {
	f.mu.Lock()
	p.ending = true
	f.mu.Unlock()
	_ = p.cmd.Process.Kill() // fails when it has exited
	<-p.exited
}

// freeze sends SIGSTOP; thaw sends SIGCONT.
func (f *fleet) freeze(p *process) error {
	f.mu.Lock()
	p.frozen = true
	f.mu.Unlock()
	return signalFreeze(p.cmd.Process)
}

func (f *fleet) thaw(p *process) {
	f.mu.Lock()
	p.frozen = false
	f.mu.Unlock()
	_ = signalThaw(p.cmd.Process) // fails when it has exited
}

func (p *process) order(word string) { _, _ = io.WriteString(p.stdin, word+"\n") } // fails when it has exited

// drain orders one process to end. Its exit is expected from then on.
func (f *fleet) drain(p *process) {
	f.mu.Lock()
	p.ending = true
	f.mu.Unlock()
	p.order(orderStop)
}

// stop orders every process of a role to end. It kills those that do not end within
// patience, and returns them.
func (f *fleet) stop(role string, patience time.Duration) (stuck []string) {
	var all []*process
	f.each(role, func(p *process) { all = append(all, p) })
	f.mu.Lock()
	for _, p := range all {
		p.ending = true
	}
	f.mu.Unlock()
	for _, p := range all {
		p.order(orderStop)
	}
	late := time.After(patience)
	for _, p := range all {
		select {
		case <-p.exited:
			if state := p.cmd.ProcessState; state != nil && !state.Success() {
				stuck = append(stuck, fmt.Sprintf("%s process %d ended with %v: %s", p.role, p.number, state, p.stderr))
			}
		case <-late:
			stuck = append(stuck, fmt.Sprintf("%s process %d did not end within %v: %s", p.role, p.number, patience, p.stderr))
			late = time.After(0)
			f.kill(p)
		}
	}
	return stuck
}

// close kills the remaining processes.
func (f *fleet) close() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.each("", func(p *process) {
		f.thaw(p)
		f.kill(p)
	})
}

// exits returns the processes that exited unexpectedly.
func (f *fleet) exits() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.unexpectedExits...)
}

// sweeperSpans are the lifetimes of all workers and servers so far.
func (f *fleet) sweeperSpans() []Span {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := append([]Span(nil), f.endedSpans...)
	for _, p := range f.live {
		if p.role != "producer" {
			all = append(all, Span{p.number, p.started, time.Now()})
		}
	}
	return all
}

func (f *fleet) processOf() map[int]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := make(map[int]int, len(f.pids))
	for pid, n := range f.pids {
		of[pid] = n
	}
	return of
}
