package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// WatchQueues shows what the database's queues hold, whichever process works them. It
// may be called once.
func (m *Metrics) WatchQueues(client *penstock.Client) {
	m.registry.MustRegister(newSamples(m.queues, client.Queues))
}

const (
	samplesEvery = 10 * time.Second
	samplesLimit = 3 * time.Second // well under a scrape's own limit
)

// samples reads the state of every queue, at most every 10 s and once for all scrapes
// that come meanwhile. After a failed read the queues' gauges are absent rather than
// old, up is 0, and the next try comes 10 s later like any other.
type samples struct {
	queues *queues
	read   func(context.Context) ([]penstock.QueueInfo, error)
	now    func() time.Time

	// mu guards what follows, and is held while reading: scrapes that come meanwhile
	// wait for that and share it.
	mu     sync.Mutex
	last   []penstock.QueueInfo
	tried  time.Time
	took   time.Duration
	up     bool
	failed float64
}

var (
	queueJobs   = describe("queue_jobs", "Jobs of the queue by state, finished ones left out. Read at most every 10 s.", "queue", "state")
	queuePaused = describe("queue_paused", "Whether the queue is paused.", "queue")
	samplesUp   = describe("samples_up", "Whether the last read of the queues' state succeeded; while it is 0, their gauges are absent.")
	samplesTook = describe("samples_read_seconds", "How long the last read of the queues' state took.")
	samplesErrs = describe("samples_read_errors_total", "Reads of the queues' state that failed or took longer than 3 s.")
)

func newSamples(q *queues, read func(context.Context) ([]penstock.QueueInfo, error)) *samples {
	return &samples{queues: q, read: read, now: time.Now}
}

func (*samples) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueJobs, queuePaused, samplesUp, samplesTook, samplesErrs} {
		out <- d
	}
}

func (s *samples) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(samplesUp, oneIf(s.up))
	gauge(samplesTook, s.took.Seconds())
	for label, q := range s.byLabel() {
		gauge(queuePaused, oneIf(q.Paused), label)
		gauge(queueJobs, float64(q.Counts.Waiting), label, string(penstock.Waiting))
		gauge(queueJobs, float64(q.Counts.Scheduled), label, string(penstock.Scheduled))
		gauge(queueJobs, float64(q.Counts.Retrying), label, string(penstock.Retrying))
		gauge(queueJobs, float64(q.Counts.Running), label, string(penstock.Running))
		gauge(queueJobs, float64(q.Counts.Dead), label, string(penstock.DeadState))
	}
	out <- prometheus.MustNewConstMetric(samplesErrs, prometheus.CounterValue, s.failed)
}

// refresh reads if it is time to. REQUIRES: mu.
func (s *samples) refresh() {
	start := s.now()
	if !s.tried.IsZero() && start.Sub(s.tried) < samplesEvery {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), samplesLimit)
	defer cancel()
	last, err := s.read(ctx)
	s.tried, s.took = start, s.now().Sub(start)
	s.last, s.up = last, err == nil
	if err != nil {
		s.last = nil
		s.failed++
	}
}

// byLabel sums up the queues that share a label. REQUIRES: mu.
func (s *samples) byLabel() map[string]penstock.QueueInfo {
	all := map[string]penstock.QueueInfo{}
	for _, q := range s.last {
		label := s.queues.label(q.Queue)
		sum := all[label]
		sum.Paused = sum.Paused || q.Paused
		sum.Counts.Waiting += q.Counts.Waiting
		sum.Counts.Scheduled += q.Counts.Scheduled
		sum.Counts.Retrying += q.Counts.Retrying
		sum.Counts.Running += q.Counts.Running
		sum.Counts.Dead += q.Counts.Dead
		all[label] = sum
	}
	return all
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
