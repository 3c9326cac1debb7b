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

// fleet is the child processes: each has a proxy of its own between it and Postgres.
type fleet struct {
	opts    *Options
	dir     string // of histories and sockets
	host    string // of the server
	pooler  string // of what producers connect to instead; empty: the server
	rate    float64
	most    int64          // jobs of one producer
	stopped bool           // nothing is spawned any more
	crashed func(*process) // told of a process that a failpoint ended

	mu    sync.Mutex // guards what follows
	next  int
	live  map[int]*process
	pids  map[int]int // the process of each pid there ever was
	swept []Span      // the lives of workers and servers that have ended
	dead  []string    // what exited and was neither killed nor told to
}

// process is one child.
type process struct {
	number int
	role   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *lastWords
	proxy  *wire.Proxy
	exited chan struct{}

	started time.Time

	ending bool // it was killed or told to stop; guarded by the fleet's mu
	frozen bool // guarded by the fleet's mu
}

// lastWords keeps the end of what a child complains of.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-4<<10):]
	return len(p), nil
}

func (l *lastWords) String() string {
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
	p := &process{number: f.next, role: role, exited: make(chan struct{}), started: time.Now(), stderr: &lastWords{}}
	f.mu.Unlock()
	var err error
	host, query := f.host, ""
	if role == "producer" && f.pooler != "" {
		// A pooler's transactions have no session to prepare statements in.
		host, query = f.pooler, "&default_query_exec_mode=cache_describe"
	}
	if p.proxy, err = wire.Listen(filepath.Join(f.dir, "p"+strconv.Itoa(p.number)), host); err != nil {
		return err
	}
	s := setup{
		Role: role, Process: p.number, Seed: f.opts.Seed, URL: "postgres://postgres@/postgres?host=" + p.proxy.Dir() + query,
		History: filepath.Join(f.dir, "history"), Lease: f.opts.Lease, Rate: f.rate, Most: f.most,
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
	go f.attend(p)
	_, err = p.stdin.Write(append(line, '\n'))
	if err != nil {
		return fmt.Errorf("tell process %d what to do: %w", p.number, err)
	}
	return nil
}

// attend waits for the end of a child.
func (f *fleet) attend(p *process) {
	err := p.cmd.Wait()
	p.proxy.Close()
	f.mu.Lock()
	delete(f.live, p.number)
	if p.role != "producer" {
		f.swept = append(f.swept, Span{p.number, p.started, time.Now()})
	}
	again := !p.ending && p.role == "server" && time.Since(p.started) < serverPatience
	if !p.ending && p.cmd.ProcessState.ExitCode() == failpoint.ExitCode {
		again = true
		f.crashed(p)
	}
	if !p.ending && !again && (err != nil || p.role != "producer") { // a producer ends when it has enqueued its share
		f.dead = append(f.dead, fmt.Sprintf("%s process %d: %v: %s", p.role, p.number, err, p.stderr))
	}
	f.mu.Unlock()
	close(p.exited)
	if again { // as whatever runs them would
		_ = f.spawn(p.role)
	}
}

// serverPatience: a server that cannot reach Postgres when it starts gives up, sooner
// or later; one that has served goes on through anything.
const serverPatience = 40 * time.Second

// pick returns a living process of one of the roles, or nil. Frozen ones are left alone.
func (f *fleet) pick(rng *rand.Rand, roles ...string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*process
	for n := range f.next + 1 { // in order, so that the seed decides
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

// each calls do for every living process of a role, in order.
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

// freeze stops a process as SIGSTOP does; thaw has it go on.
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

// stop tells every process of a role to end, and returns those that did not within
// patience; they are killed.
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

// close kills what is left.
func (f *fleet) close() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.each("", func(p *process) {
		f.thaw(p)
		f.kill(p)
	})
}

// died returns what exited of itself.
func (f *fleet) died() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.dead...)
}

// sweepers are the lives of all that look after others, so far.
func (f *fleet) sweepers() []Span {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := append([]Span(nil), f.swept...)
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
