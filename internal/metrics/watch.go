package metrics

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// WatchPool shows a pool's connections. It may be called once.
func (m *Metrics) WatchPool(pool *pgxpool.Pool) { m.registry.MustRegister(poolCollector{pool}) }

// WatchWorker shows how busy a worker is. It may be called once.
func (m *Metrics) WatchWorker(w *penstock.Worker) {
	m.registry.MustRegister(workerCollector{w, m.queues})
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// poolCollector reads a pool's own statistics at each scrape, which costs a lock.
type poolCollector struct{ pool *pgxpool.Pool }

var (
	poolConnections    = describe("pool_connections", "The pool's connections, by what they do.", "state")
	poolMaxConnections = describe("pool_max_connections", "How many connections the pool may have.")
	poolAcquires       = describe("pool_acquires_total", "Connections handed out.")
	poolEmptyAcquires  = describe("pool_empty_acquires_total", "Connections handed out after a wait, none being idle.")
	poolWaitSeconds    = describe("pool_wait_seconds_total", "Time that callers waited for a connection, none being idle.")
	poolCanceled       = describe("pool_canceled_acquires_total", "Callers that gave up waiting for a connection.")
	poolOpened         = describe("pool_connections_opened_total", "Connections opened.")
)

func (poolCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		poolConnections, poolMaxConnections, poolAcquires, poolEmptyAcquires, poolWaitSeconds, poolCanceled, poolOpened,
	} {
		out <- d
	}
}

func (c poolCollector) Collect(out chan<- prometheus.Metric) {
	s := c.pool.Stat()
	gauge := func(d *prometheus.Desc, v int32, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	total := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(poolConnections, s.AcquiredConns(), "acquired")
	gauge(poolConnections, s.IdleConns(), "idle")
	gauge(poolConnections, s.ConstructingConns(), "connecting")
	gauge(poolMaxConnections, s.MaxConns())
	total(poolAcquires, float64(s.AcquireCount()))
	total(poolEmptyAcquires, float64(s.EmptyAcquireCount()))
	total(poolWaitSeconds, s.EmptyAcquireWaitTime().Seconds())
	total(poolCanceled, float64(s.CanceledAcquireCount()))
	total(poolOpened, float64(s.NewConnsCount()))
}

// workerCollector reads a worker's load at each scrape, which costs a lock per queue.
type workerCollector struct {
	worker *penstock.Worker
	queues *queues
}

var (
	workerConcurrency = describe("worker_concurrency", "How many handlers of the queue may run in this process.", "queue")
	workerJobs        = describe("worker_jobs",
		"Jobs leased by this process: in a handler, claimed ahead of one (buffered), or ended but not yet written.",
		"queue", "stage")
)

func (workerCollector) Describe(out chan<- *prometheus.Desc) {
	out <- workerConcurrency
	out <- workerJobs
}

func (c workerCollector) Collect(out chan<- prometheus.Metric) {
	byLabel := map[string]penstock.QueueLoad{} // queues beyond the bound share a label
	for _, l := range c.worker.Load() {
		label := c.queues.label(l.Queue)
		sum := byLabel[label]
		sum.Concurrency += l.Concurrency
		sum.Running += l.Running
		sum.Buffered += l.Buffered
		sum.Unwritten += l.Unwritten
		byLabel[label] = sum
	}
	for label, l := range byLabel {
		gauge := func(d *prometheus.Desc, v int, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), append([]string{label}, labels...)...)
		}
		gauge(workerConcurrency, l.Concurrency)
		gauge(workerJobs, l.Running, "running")
		gauge(workerJobs, l.Buffered, "buffered")
		gauge(workerJobs, l.Unwritten, "unwritten")
	}
}
