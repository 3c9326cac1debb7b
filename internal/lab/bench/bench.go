// Package bench measures Penstock on this machine, through the public Go API and with
// production settings only. The speed of a shared machine varies, so each run also
// measures plain SQL on the same server (limit.go) and reports its figures relative to
// that.
//
// A run uses a database of its own, on a fresh private cluster with full durability or
// on the server of Options.URL, and drops it at the end. It counts the rows afterwards:
// if a job is missing or doubled, the run is an error.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Load is the load of a scenario. In Scenario.Usual a zero field means that the
// scenario does not use it; Workers and Rate may also be zero by choice.
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

	Log      *slog.Logger   // the library's warnings; nil: none
	Progress func(Progress) // called ten times a second during long stages; may be nil
}

// Progress says how far the present stage is.
type Progress struct {
	Stage       string
	Done, Total int64 // jobs, or milliseconds of a stage that lasts a set time
}

// Scenario is one measurement.
type Scenario struct {
	Name  string
	Short string // one line
	Long  string // what is measured, and how
	Usual Load   // the load unless the user changes it

	run func(*bench, context.Context) error // a method of bench
}

// Scenarios are all scenarios, in the order to show them.
var Scenarios = []Scenario{
	drainScenario, enqueueScenario, steadyScenario, latencyScenario, backlogScenario, pinnedScenario, notifyScenario,
	workersScenario, memoryScenario, idleScenario, ceilingScenario, httpScenario, httpWorkScenario,
}

// Report is the result of a run. Its JSON is one object: the figures of the headline
// row (jobs_per_second, or p50_ms p95_ms p99_ms max_ms), every row, the machine's limit
// and the setup.
type Report struct {
	Scenario string `json:"scenario"`
	*Speed
	*Latency
	Rows     []Row    `json:"rows"`
	Findings []string `json:"findings,omitempty"` // sentences: comparisons between rows, and counts
	Limit    Limits   `json:"limit"`
	Setup    Setup    `json:"setup"`
}

// Row is one measurement.
type Row struct {
	Name string `json:"name"`
	*Speed
	*Latency
	*Amount
	// OfLimit is jobs_per_second divided by the speed of plain SQL in the same run:
	// rows in bulk, or single commits when Against is "commits".
	OfLimit float64 `json:"of_limit,omitempty"`
	Against string  `json:"against,omitempty"`
	// Ceiling is the speed of the same SQL functions just before and after, called by a
	// loop without the library (verbs.go). OfCeiling is jobs_per_second divided by it.
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

// Run measures the scenario. It removes everything it made, also when ctx ends. Errors:
// ErrMiscounted when rows are missing or doubled; errors of the server or the library.
func (s *Scenario) Run(ctx context.Context, opts Options) (_ *Report, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
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

// inAnotherDatabase returns the same bench in a second database on the same server. The
// caller closes it.
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

// stage reports progress until end is called, which may be repeated. One stage ends
// before the next begins. count returns how much of total is done; nil counts the
// milliseconds passed.
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
