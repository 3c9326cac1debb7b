package proof

import (
	"cmp"
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

// testbed is what nemeses act on: a server, the processes that use it, and the log of
// faults.
type testbed struct {
	opts    *Options
	server  *postgres.Server
	pool    *pgxpool.Pool // connects to the server directly, not through a proxy
	client  *penstock.Client
	fleet   *fleet
	history *recorder // of process 0: the jobs that nemeses enqueue

	programs []*postgres.Program // stopped with the server
	pooler   string              // directory of the pooler's socket, for producers; empty: no pooler

	postgresMu sync.Mutex // held while a nemesis has the server down

	mu          sync.Mutex // guards what follows
	faults      []*Fault
	misses      map[string]int // how often a nemesis found nothing to break, or failed
	missReasons map[string]string
	number      int64 // of the last job that process 0 enqueued
}

// beginFault logs the start of a fault. The returned function logs its end; only the
// first call counts.
func (a *testbed) beginFault(f Fault) (end func()) {
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

// faultLog returns every fault. A fault that has not ended gets the present as its end.
func (a *testbed) faultLog() []Fault {
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

// disturbed reports whether a fault that affects every process was active since then.
func (a *testbed) disturbed(since time.Time) bool {
	for _, f := range a.faultLog() {
		if f.Process == 0 && (f.Down || f.Mute) && f.overlaps(since, time.Now()) {
			return true
		}
	}
	return false
}

func (a *testbed) recordMiss(nemesis string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.misses[nemesis]++
	if err != nil {
		a.missReasons[nemesis] = err.Error()
	}
}

// reserveNumbers reserves job numbers for process 0.
func (a *testbed) reserveNumbers(count int) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.number + 1
	a.number += int64(count)
	return first
}

// enqueuePlain enqueues count jobs that do nothing and records the request. The caller
// must call answer with the result of the commit.
func (a *testbed) enqueuePlain(ctx context.Context, enqueuer *penstock.Client, queue string, count int) (answer func(Kind), err error) {
	_, answer, err = a.enqueue(ctx, enqueuer, count, penstock.NewJob{Queue: queue}, data{})
	return answer, err
}

// enqueueNow enqueues count jobs like template, each of which takes some milliseconds,
// through the testbed's own client, and records request and answer.
func (a *testbed) enqueueNow(ctx context.Context, count int, template penstock.NewJob, millis int) error {
	_, answer, err := a.enqueue(ctx, a.client, count, template, data{MS: millis})
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	return nil
}

// enqueue enqueues count jobs like template, and returns their ids. The caller must call
// answer with the result of the commit.
func (a *testbed) enqueue(
	ctx context.Context, enqueuer *penstock.Client, count int, template penstock.NewJob, d data,
) (ids []int64, answer func(Kind), err error) {
	first := a.reserveNumbers(count)
	jobs := make([]penstock.NewJob, count)
	for i := range jobs {
		jobs[i] = template
		d.N = first + int64(i)
		jobs[i].Name, jobs[i].Data = cmp.Or(template.Name, jobPlain), d
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

func queryOne[T any](ctx context.Context, a *testbed, sql string, args ...any) (v T, err error) {
	err = a.pool.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

func (a *testbed) exec(ctx context.Context, sql string, args ...any) error {
	_, err := a.pool.Exec(ctx, sql, args...)
	return err
}

// session opens a connection outside the pool.
func (a *testbed) session(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, a.pool.Config().ConnConfig.Copy())
}

// openTestbed starts the server and prepares the database.
func openTestbed(ctx context.Context, opts *Options, dir string) (_ *testbed, err error) {
	a := &testbed{opts: opts, misses: map[string]int{}, missReasons: map[string]string{}}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	settings := map[string]string{
		// The server crashes, not the machine. So fsync would change nothing but the
		// speed.
		"synchronous_commit": "on", "track_commit_timestamp": "on", "max_connections": "150",
		"shared_buffers": "256MB", "max_wal_size": "4GB", "max_prepared_transactions": "10",
	}
	maps.Copy(settings, opts.platform.settings)
	a.server, err = postgres.Start(ctx, postgres.Options{
		Dir: opts.platform.dir, Temporary: true, Settings: settings, Environ: opts.platform.environ,
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
	if opts.platform.begin != nil {
		if err = opts.platform.begin(ctx, a); err != nil {
			return nil, err
		}
	}
	if a.history, err = openRecorder(filepath.Join(dir, "history"), 0); err != nil {
		return nil, err
	}
	a.fleet = newFleet(opts, dir, a.host())
	a.fleet.pooler = a.pooler
	a.fleet.onFailpointCrash = func(p *process) {
		a.beginFault(Fault{Nemesis: "failpoint crash", Process: p.number, Kills: true, Note: p.role})()
	}
	return a, nil
}

// connect opens the testbed's own pool on a server.
func (a *testbed) connect(ctx context.Context, url string) (err error) {
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
func (a *testbed) host() string { return a.pool.Config().ConnConfig.Host }

func (a *testbed) close() {
	for _, p := range a.programs {
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
		_ = a.server.Stop(ctx) // temporary: the next start removes what is left
	}
}

// restart starts the server again and returns when it accepts connections.
func (a *testbed) restart(ctx context.Context) error {
	if err := a.server.Restart(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("restart Postgres: %w", err)
	}
	return nil
}
