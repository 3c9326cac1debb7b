package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

// childProducer enqueues in every way the library offers, and records each request and
// answer. An error that does not prove "not enqueued" counts as unknown.
type childProducer struct {
	childConfig
	history *recorder
	pool    *pgxpool.Pool
	client  *penstock.Client

	mu          sync.Mutex // guards what follows
	next        int64      // how many jobs were requested
	startedAt   time.Time
	lastLongJob time.Time // when the last long job was enqueued
}

const callersPerProducer = 16

// catchUp bounds how much lost time is made up for after an outage.
const catchUp = 20 * time.Second

// numberSpan keeps the job numbers of processes apart; numbers stay below 2^53.
const numberSpan = 1_000_000_000

func (p *childProducer) produce(ctx context.Context) {
	p.startedAt = time.Now()
	var all sync.WaitGroup
	for i := range callersPerProducer {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(p.Seed, uint64(p.Process)<<16|uint64(i)))
			for ctx.Err() == nil {
				count := 1
				if rng.IntN(4) == 0 {
					count = 2 + rng.IntN(150)
				}
				n, ok := p.reserve(ctx, count)
				if !ok {
					return
				}
				p.enqueue(rng, n, count)
			}
		})
	}
	all.Wait()
}

// reserve reserves the numbers of count jobs, and waits until the rate allows them.
func (p *childProducer) reserve(ctx context.Context, count int) (first int64, ok bool) {
	p.mu.Lock()
	if p.next >= p.Most {
		p.mu.Unlock()
		return 0, false
	}
	first = int64(p.Process)*numberSpan + p.next + 1
	p.next += int64(count)
	due := p.startedAt.Add(time.Duration(float64(p.next) / p.Rate * float64(time.Second)))
	if behind := time.Since(due); behind > catchUp {
		p.startedAt = p.startedAt.Add(behind - catchUp)
	}
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return first, true
	case <-ctx.Done():
		return 0, false
	}
}

// enqueue picks one of the ways at random. None uses the process's context: an ordered
// stop waits for a running call.
func (p *childProducer) enqueue(rng *rand.Rand, n int64, count int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	jobs := make([]penstock.NewJob, count)
	for i := range jobs {
		jobs[i] = newJob(rng, n+int64(i), p.Lease, i == 0 && p.takeLongJobTurn())
	}
	p.history.write(Event{Op: OpEnqueue, Kind: Invoke, N: n, Count: count})
	switch way := rng.IntN(20); {
	case count > 1 && way < 12:
		ids, err := p.client.EnqueueMany(ctx, jobs)
		p.recordAnswer(n, count, ids, err)
	case way < 5 || count > 1:
		p.inTransaction(ctx, rng, n, jobs)
	case way < 6:
		jobs[0].Data = json.RawMessage(fmt.Sprintf(`{"n":%d,"poison":1e200000}`, n))
		p.one(ctx, n, jobs[0])
	case way < 12:
		jobs[0].IdempotencyKey = fmt.Sprint(n)
		p.keyed(ctx, rng, n, jobs[0])
	default:
		p.one(ctx, n, jobs[0])
	}
}

// longEvery is how often a producer enqueues a job that runs for longer than a lease.
// These jobs occupy many of the workers' handlers, but not all.
const longEvery = 3 * time.Second

func (p *childProducer) takeLongJobTurn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.lastLongJob) < longEvery {
		return false
	}
	p.lastLongJob = time.Now()
	return true
}

// newJob returns a job of a random kind. Most take no time, so that the queue is the
// bottleneck.
func newJob(rng *rand.Rand, n int64, lease time.Duration, long bool) penstock.NewJob {
	job := penstock.NewJob{Queue: busyQueue, Name: jobPlain}
	d := data{N: n}
	switch kind := rng.IntN(100); {
	case kind < 60:
	case kind < 70:
		job.Name = jobResult
	case kind < 82:
		job.Name = jobEffect
	case kind < 90:
		job.Name, d.Fails = jobFlaky, 1+rng.IntN(2)
		job.Retry = &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 20 * time.Millisecond}
		job.MaxAttempts = 50
	case kind < 95:
		job.Name = jobSnooze
	case kind < 98:
		job.Name, d.Fails = jobHopeless, 1
	default:
		job.Name = jobPoison
		job.Retry = &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 20 * time.Millisecond}
		job.MaxAttempts = 50
	}
	switch rng.IntN(40) {
	case 0: // long enough for a kill or a freeze during the handler
		d.MS = 50 + rng.IntN(1500)
	case 1:
		job.Queue, job.SkipNotify = calmQueue, true
		job.Priority = penstock.Weight(1 + rng.IntN(100))
	case 2:
		job.Delay = time.Duration(rng.IntN(2000)) * time.Millisecond
	case 3:
		job.Priority = penstock.High
	}
	if long { // still running when its first worker wakes from a freeze longer than the lease
		d.MS = int((2*lease + time.Duration(rng.Int64N(int64(lease)))) / time.Millisecond)
	}
	if job.Name == jobEffect { // its completion is refused after a lost lease; it is retried soon
		job.Retry = &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 50 * time.Millisecond}
		job.MaxAttempts = 100
	}
	job.Data = d
	return job
}

func (p *childProducer) one(ctx context.Context, n int64, job penstock.NewJob) {
	id, err := p.client.Enqueue(ctx, job)
	p.recordAnswer(n, 1, []int64{id}, err)
}

// keyed repeats the same enqueue until it gets an id, and sometimes once more.
func (p *childProducer) keyed(ctx context.Context, rng *rand.Rand, n int64, job penstock.NewJob) {
	for ctx.Err() == nil {
		id, err := p.client.Enqueue(ctx, job)
		p.recordAnswer(n, 1, []int64{id}, err)
		if err == nil && rng.IntN(4) > 0 {
			return
		}
		p.history.write(Event{Op: OpEnqueue, Kind: Invoke, N: n, Count: 1})
	}
}

func (p *childProducer) inTransaction(ctx context.Context, rng *rand.Rand, n int64, jobs []penstock.NewJob) {
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		p.history.write(Event{Op: OpEnqueue, Kind: Fail, N: n, Count: len(jobs), Text: err.Error()})
		return
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	ids, err := p.client.InTx(tx).EnqueueMany(ctx, jobs)
	if err != nil || rng.IntN(3) == 0 {
		text := "rolled back"
		if err != nil {
			text = err.Error()
		}
		p.history.write(Event{Op: OpEnqueue, Kind: Fail, N: n, Count: len(jobs), Text: text}) // COMMIT was not sent
		return
	}
	time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	err = tx.Commit(ctx)
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		p.history.write(Event{Op: OpEnqueue, Kind: Fail, N: n, Count: len(jobs), Text: err.Error()})
		return
	}
	p.recordAnswer(n, len(jobs), ids, err)
}

// recordAnswer records the answer to an enqueue. Only a call that was refused for its
// content, or never sent, proves that the job does not exist.
func (p *childProducer) recordAnswer(n int64, count int, ids []int64, err error) {
	e := Event{Op: OpEnqueue, Kind: OK, N: n, Count: count, IDs: ids}
	if err != nil {
		e.Kind, e.IDs, e.Text = Unknown, nil, err.Error()
		if errors.Is(err, penstock.ErrInvalidArgument) || dataException(err) || neverConnected(err) {
			e.Kind = Fail
		}
	}
	p.history.write(e)
}

// dataException is true for SQLSTATE class 22: Postgres cannot store the data.
func dataException(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22")
}

// neverConnected is true if there was no connection at all. An earlier try of a keyed
// enqueue may have had one.
func neverConnected(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) && !errors.Is(err, penstock.ErrOutcomeUnknown)
}
