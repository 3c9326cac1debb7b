package proof

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/postgres"
)

// arena is what nemeses act on: a server, the processes that use it, and a log of what
// was done to them.
type arena struct {
	opts    *Options
	server  *postgres.Server
	pool    *pgxpool.Pool // straight to the server, past every proxy
	client  *penstock.Client
	fleet   *fleet
	history *recorder // of process 0: what nemeses enqueue themselves

	beside []*postgres.Program // programs that run with the server
	pooler string              // what producers connect to instead; empty: the server

	postgres sync.Mutex // held by whoever takes the server down

	mu     sync.Mutex // guards what follows
	faults []*Fault
	missed map[string]int // nemeses that found nothing to break, or could not
	why    map[string]string
	number int64 // of the last job that process 0 enqueued
}

// fault notes the beginning of one; the returned function notes its end, once.
func (a *arena) fault(f Fault) (end func()) {
	f.From = time.Now()
	kept := &f
	a.mu.Lock()
	a.faults = append(a.faults, kept)
	a.mu.Unlock()
	return sync.OnceFunc(func() {
		a.mu.Lock()
		kept.To = time.Now()
		a.mu.Unlock()
	})
}

// log returns every fault; one that has not ended ends now.
func (a *arena) log() []Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Fault, len(a.faults))
	for i, f := range a.faults {
		all[i] = *f
		if f.To.IsZero() {
			all[i].To = time.Now()
		}
	}
	return all
}

// disturbed reports whether anything that reaches everybody was broken since.
func (a *arena) disturbed(since time.Time) bool {
	for _, f := range a.log() {
		if f.Process == 0 && (f.Down || f.Mute) && f.overlaps(since, time.Now()) {
			return true
		}
	}
	return false
}

func (a *arena) miss(nemesis string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missed[nemesis]++
	if err != nil {
		a.why[nemesis] = err.Error()
	}
}

// numbers reserves the numbers of jobs that process 0 enqueues.
func (a *arena) numbers(count int) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.number + 1
	a.number += int64(count)
	return first
}

// plain enqueues count jobs that do nothing, through enqueuer, and writes it down.
// Whether that committed is for the caller to say with answer.
func (a *arena) plain(ctx context.Context, enqueuer *penstock.Client, queue string, count int) (answer func(Kind), err error) {
	_, answer, err = a.enqueue(ctx, enqueuer, count, penstock.NewJob{Queue: queue})
	return answer, err
}

// enqueue is plain for jobs of any shape, and returns their ids.
func (a *arena) enqueue(ctx context.Context, enqueuer *penstock.Client, count int, shape penstock.NewJob) (ids []int64, answer func(Kind), err error) {
	first := a.numbers(count)
	jobs := make([]penstock.NewJob, count)
	for i := range jobs {
		jobs[i] = shape
		jobs[i].Name, jobs[i].Data = jobPlain, data{N: first + int64(i)}
	}
	a.history.write(Event{Op: OpEnqueue, Kind: Invoke, N: first, Count: count})
	ids, err = enqueuer.EnqueueMany(ctx, jobs)
	return ids, func(kind Kind) {
		e := Event{Op: OpEnqueue, Kind: kind, N: first, Count: count}
		if kind == OK {
			e.IDs = ids
		}
		a.history.write(e)
	}, err
}

func ask[T any](ctx context.Context, a *arena, sql string, args ...any) (v T, err error) {
	err = a.pool.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

func (a *arena) exec(ctx context.Context, sql string, args ...any) error {
	_, err := a.pool.Exec(ctx, sql, args...)
	return err
}

// session is a connection of a nemesis's own, past the pool.
func (a *arena) session(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, a.pool.Config().ConnConfig.Copy())
}

// openArena starts the server and makes the database ready.
func openArena(ctx context.Context, opts *Options, dir string) (_ *arena, err error) {
	a := &arena{opts: opts, missed: map[string]int{}, why: map[string]string{}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	settings := map[string]string{
		// Crashes are of the server, not of the machine: fsync would only make them rarer.
		"synchronous_commit": "on", "track_commit_timestamp": "on", "max_connections": "150",
		"shared_buffers": "256MB", "max_wal_size": "4GB", "max_prepared_transactions": "10",
	}
	maps.Copy(settings, opts.place.settings)
	a.server, err = postgres.Start(ctx, postgres.Options{
		Dir: opts.place.dir, Temporary: true, Settings: settings, Environ: opts.place.environ,
	})
	if err != nil {
		return nil, err
	}
	if err = a.connect(ctx, a.server.URL("postgres")); err != nil {
		return nil, err
	}
	if _, err = (postgres.Migrator{Pool: a.pool}).Up(ctx); err != nil {
		return nil, err
	}
	if err = installAudit(ctx, a.pool); err != nil {
		return nil, err
	}
	if opts.place.begin != nil {
		if err = opts.place.begin(ctx, a); err != nil {
			return nil, err
		}
	}
	if a.history, err = openRecorder(filepath.Join(dir, "history"), 0); err != nil {
		return nil, err
	}
	a.fleet = newFleet(opts, dir, a.host())
	a.fleet.pooler = a.pooler
	a.fleet.crashed = func(p *process) {
		a.fault(Fault{Nemesis: "failpoint crash", Process: p.number, Kills: true, Note: p.role})()
	}
	return a, nil
}

// connect opens the arena's own pool on a server.
func (a *arena) connect(ctx context.Context, url string) (err error) {
	a.pool, err = postgres.Open(ctx, url, func(c *pgxpool.Config) {
		c.MaxConns, c.MinConns = 6, 2
		c.ConnConfig.RuntimeParams["application_name"] = "proof"
	})
	if err == nil {
		a.client, err = penstock.NewClient(a.pool, penstock.Config{})
	}
	return err
}

// host is the directory of the server's socket.
func (a *arena) host() string { return a.pool.Config().ConnConfig.Host }

func (a *arena) close() {
	for _, p := range a.beside {
		defer p.Stop()
	}
	if a.fleet != nil {
		a.fleet.close()
	}
	if a.pool != nil {
		a.pool.Close()
	}
	if a.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = a.server.Stop(ctx) // temporary: what is left is swept away by the next
	}
}

// restart brings the server back and returns when it takes connections.
func (a *arena) restart(ctx context.Context) error {
	if err := a.server.Restart(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("bring Postgres back: %w", err)
	}
	return nil
}
