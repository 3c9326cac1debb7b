// Package bench measures Penstock on the machine it runs on, through the public Go
// API and with production settings only: what a scenario gets, every user gets. The
// figures of a shared machine drift, so each run also measures what the same server
// does for plain SQL (limit.go), and reports how much of that is left.
//
// A run works in a database of its own, on a fresh private cluster with full
// durability or on the server of Options.URL, and drops it at the end. Afterwards
// the rows are counted: a figure whose jobs are not all accounted for is an error.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Load is what a scenario is put under. Of Scenario.Usual, a zero field says that the
// scenario has no such thing; Workers and Rate may also be zero by choice.
type Load struct {
	Jobs         int           // how many to enqueue, or how long the backlog is
	Concurrency  int           // handlers at once, 1–10,000
	PayloadBytes int           // of each job's data, as JSON; at least MinPayload
	Callers      []int         // goroutines that enqueue one by one; each count is a row
	Duration     time.Duration // of each phase
	Rates        []int         // jobs a second; each is a row
}

// Options say where and how to run.
type Options struct {
	URL     string // the server to use; empty starts a private one
	Remote  bool   // permit a server that is not on this machine
	Version string // of the library, for the setup
	Load    Load

	Log      *zap.Logger    // what the library warns of; nil: silent
	Progress func(Progress) // called ten times a second while something long goes on; nil: never
}

// Progress is how far the present stage is.
type Progress struct {
	Stage       string
	Done, Total int64 // jobs, or milliseconds of a stage that lasts a set time
}

// Scenario is one thing to measure.
type Scenario struct {
	Name  string
	Short string // one line
	Long  string // what is measured, and how
	Usual Load   // what it is put under unless told otherwise

	run func(*bench, context.Context) error // a method of bench
}

// Scenarios are all there are, in the order to show them.
var Scenarios = []Scenario{
	drainScenario, enqueueScenario, steadyScenario, latencyScenario, backlogScenario, pinnedScenario, notifyScenario,
	workersScenario, memoryScenario, idleScenario, ceilingScenario, httpScenario, httpWorkScenario,
}

// Report is what a run found. Its JSON is one object: the figures of the headline row
// (jobs_per_second, or p50_ms p95_ms p99_ms max_ms) beside every row, the machine's
// limit and the setup.
type Report struct {
	Scenario string `json:"scenario"`
	*Speed
	*Latency
	Rows     []Row    `json:"rows"`
	Findings []string `json:"findings,omitempty"` // sentences: comparisons between rows, and what was counted
	Limit    Limits   `json:"limit"`
	Setup    Setup    `json:"setup"`
}

// Row is one measurement.
type Row struct {
	Name string `json:"name"`
	*Speed
	*Latency
	*Amount
	// OfLimit is jobs_per_second over what plain SQL did in the same run: rows in bulk,
	// or single commits when Against says "commits".
	OfLimit float64 `json:"of_limit,omitempty"`
	Against string  `json:"against,omitempty"`
	// Ceiling is what the same SQL functions did just before and after, called by a loop
	// without the library (verbs.go), and OfCeiling is jobs_per_second over that.
	Ceiling   float64 `json:"ceiling_jobs_per_second,omitempty"`
	OfCeiling float64 `json:"of_ceiling,omitempty"`
	WALBytes  float64 `json:"wal_bytes_per_job,omitempty"` // from a job's enqueue to its end
}

// Amount is a figure of another kind.
type Amount struct {
	Amount float64 `json:"amount"`
	Unit   string  `json:"unit"`
}

// Speed is a rate over a stretch of time.
type Speed struct {
	Jobs          int64   `json:"jobs"`
	Seconds       float64 `json:"seconds"`
	JobsPerSecond float64 `json:"jobs_per_second"`
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Samples int64   `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// bench is one run.
type bench struct {
	*runDatabase
	opts   Options
	load   Load
	report *Report
	queues int // made by fresh
}

// Run measures the scenario and returns what it found. It leaves nothing behind, also
// when ctx ends. Errors: ErrMiscounted when rows are missing or too many; what the
// server or the library said.
func (s *Scenario) Run(ctx context.Context, opts Options) (_ *Report, err error) {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	b := &bench{opts: opts, load: opts.Load, report: &Report{Scenario: s.Name}}
	done := b.stage("preparing a database", 0, nil)
	b.runDatabase, err = openDatabase(ctx, opts)
	done()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if b.report.Setup, err = b.setup(ctx); err != nil {
		return nil, err
	}
	before, err := b.measureLimit(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.run(b, ctx); err != nil {
		return nil, fmt.Errorf("bench %s: %w", s.Name, err)
	}
	after, err := b.measureLimit(ctx)
	if err != nil {
		return nil, err
	}
	b.report.compareWithLimits(before, after)
	return b.report, nil
}

// elsewhere is the same bench in one more database on the same server. The caller closes it.
func (b *bench) inAnotherDatabase(ctx context.Context) (*bench, error) {
	defer b.stage("preparing another database", 0, nil)()
	opts := b.opts
	opts.URL = b.url
	place, err := openDatabase(ctx, opts)
	if err != nil {
		return nil, err
	}
	other := *b
	other.runDatabase = place
	return &other, nil
}

// stage shows progress until the returned function is called, once or more often; one
// stage ends before the next begins. count says how much of
// total is done; with a nil count the time passed is, in milliseconds.
func (b *bench) stage(name string, total int64, count func() int64) (end func()) {
	if b.opts.Progress == nil {
		return func() {}
	}
	start := time.Now()
	if count == nil {
		count = func() int64 { return min(time.Since(start).Milliseconds(), total) }
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			b.opts.Progress(Progress{name, count(), total})
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-stopped })
}
