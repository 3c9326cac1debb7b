// Package metrics shows what Penstock does to Prometheus. It listens to the library's
// hooks, and looks at workers, the pool and the database's samples when it is scraped.
//
// Names are stable, in base units, and documented by their help texts. Labels are
// bounded: of queues, names and error classes the first seen are told apart (see
// bounded.go), the rest are "other"; ids and job data are never labels. A scrape
// cannot hurt the database: samples are read at most every 10 s, by one scrape for
// all, within 3 s, and when that fails penstock_samples_up says so while everything
// else is exposed as ever.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/penstock/penstock"
)

// Metrics is a registry of its own and what fills it. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	attempts *attempts
	queues   *queues
	process  *process
}

// New makes the metrics of a process that runs this version of Penstock. Until hooks
// and watches are added they show the Go runtime and the process alone.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.queues = newQueues(m.registry)
	m.attempts = newAttempts(m.registry, m.queues)
	m.process = newProcess(m.registry)
	build := gauge("build_info", "Which build this is; always 1.", "version", "goversion")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Hooks is what a client or worker is given so that its doings are counted.
func (m *Metrics) Hooks() penstock.Hooks {
	return penstock.Hooks{
		Enqueued: func(e penstock.EnqueueEvent) {
			m.queues.enqueued(e)
			m.process.enqueued(e)
		},
		Claimed:   m.queues.claimed,
		Started:   m.attempts.started,
		Ended:     m.attempts.ended,
		Flushed:   m.process.flushed,
		Woken:     m.queues.woken,
		Notified:  m.queues.notified,
		Listening: m.process.listening,
		Beaten:    m.process.beaten,
		Buried:    func(e penstock.BuryEvent) { m.Buried(e.WorkerID, e.Lost) },
	}
}

// Buried counts a dead worker, for upkeep that runs without a worker.
func (m *Metrics) Buried(_ int64, lost int) { m.process.buried(lost) }

// Handler answers scrapes in the format that the scraper asks for: text, OpenMetrics
// or protobuf, which alone carries native histograms. What a collector cannot tell is
// left out and logged nowhere: the metric for that is penstock_samples_up.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 8,
		Timeout:             9 * time.Second, // Prometheus gives up after 10
		EnableOpenMetrics:   true,
	})
}

const namespace = "penstock"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// The classic buckets. Native ones are within 10% and need no bounds.
var (
	jobSeconds  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	callSeconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	batchSizes  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000}
)

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}
