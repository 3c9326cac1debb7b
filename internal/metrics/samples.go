package metrics

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// WatchQueues shows what the database's queues hold, whichever process works them. It
// may be called once.
func (m *Metrics) WatchQueues(client *penstock.Client) {
	m.registry.MustRegister(newSamples(m.queues, func(ctx context.Context) (seen, error) { return look(ctx, client) }))
}

// seen is what one read found.
type seen struct {
	queues []penstock.QueueSample
	tasks  []penstock.Task
}

func look(ctx context.Context, client *penstock.Client) (s seen, err error) {
	if s.queues, err = client.Queues.Samples(ctx); err != nil {
		return s, err
	}
	s.tasks, err = client.Tasks.List(ctx)
	return s, err
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
	read   func(context.Context) (seen, error)
	now    func() time.Time

	// mu guards what follows, and is held while reading: scrapes that come meanwhile
	// wait for that and share it.
	mu     sync.Mutex
	last   seen
	tried  time.Time
	took   time.Duration
	up     bool
	failed float64
}

var (
	queueJobs   = describe("queue_jobs", "Jobs of the queue by state, finished ones left out, as they were last counted.", "queue", "state")
	queueOldest = describe("queue_oldest_age_seconds", "How long the first of the queue's due jobs has been due; 0: none is.", "queue")
	queueSlots  = describe("queue_slots", "How many jobs of the queue all live workers run at once.", "queue")
	queuePaused = describe("queue_paused", "Whether the queue is paused.", "queue")
	samplesUp   = describe("samples_up", "Whether the last read of the queues' state succeeded; while it is 0, their gauges are absent.")
	samplesTook = describe("samples_read_seconds", "How long the last read of the queues' state took.")
	samplesAge  = describe("samples_age_seconds", "How old the oldest of the queues' samples was when read; servers and workers take them every 10 s.")
	samplesErrs = describe("samples_read_errors_total", "Reads of the queues' state that failed or took longer than 3 s.")

	taskRuns      = describe("task_runs_total", "Runs of the scheduled task that ended, in all processes.", "task")
	taskFailures  = describe("task_failures_total", "Runs of the scheduled task that failed.", "task")
	taskPaused    = describe("task_paused", "Whether the scheduled task is paused.", "task")
	taskSucceeded = describe("task_last_success_timestamp_seconds", "When the scheduled task last succeeded; absent: never.", "task")
	taskDue       = describe("task_due_timestamp_seconds", "When the scheduled task is to run next; absent while it is paused.", "task")
	taskTook      = describe("task_duration_seconds", "How long the scheduled task's last run took.", "task")
)

func newSamples(q *queues, read func(context.Context) (seen, error)) *samples {
	return &samples{queues: q, read: read, now: time.Now}
}

func (*samples) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queueJobs, queueOldest, queueSlots, queuePaused, samplesUp, samplesTook, samplesAge, samplesErrs,
		taskRuns, taskFailures, taskPaused, taskSucceeded, taskDue, taskTook,
	} {
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
	if len(s.last.queues) > 0 {
		gauge(samplesAge, slices.MaxFunc(s.last.queues, byAge).Age.Seconds())
	}
	for label, q := range s.byLabel() {
		gauge(queuePaused, oneIf(q.paused), label)
		gauge(queueOldest, q.oldest.Seconds(), label)
		gauge(queueSlots, float64(q.slots), label)
		for state, jobs := range q.jobs {
			gauge(queueJobs, float64(jobs), label, string(state))
		}
	}
	for _, task := range s.last.tasks {
		s.collectTask(task, gauge, out)
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
		s.last = seen{}
		s.failed++
	}
}

// collectTask shows a task; its name is one of those that this binary knows.
func (s *samples) collectTask(task penstock.Task, gauge func(*prometheus.Desc, float64, ...string), out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(taskRuns, prometheus.CounterValue, float64(task.Runs), task.Name)
	out <- prometheus.MustNewConstMetric(taskFailures, prometheus.CounterValue, float64(task.Failures), task.Name)
	gauge(taskPaused, oneIf(task.Paused), task.Name)
	if task.SucceededAt != nil {
		gauge(taskSucceeded, float64(task.SucceededAt.UnixMilli())/1000, task.Name)
	}
	if task.NextRunAt != nil {
		gauge(taskDue, float64(task.NextRunAt.UnixMilli())/1000, task.Name)
	}
	if task.Duration != nil {
		gauge(taskTook, time.Duration(*task.Duration).Seconds(), task.Name)
	}
}

// labelled is what the queues of a label hold together.
type labelled struct {
	jobs   map[penstock.State]int64
	oldest time.Duration
	slots  int
	paused bool
}

// byLabel sums up the queues that share a label. REQUIRES: mu.
func (s *samples) byLabel() map[string]*labelled {
	all := map[string]*labelled{}
	of := func(queue string) *labelled {
		label := s.queues.label(queue)
		if all[label] == nil {
			all[label] = &labelled{jobs: map[penstock.State]int64{}}
		}
		return all[label]
	}
	for _, q := range s.last.queues {
		sum, n := of(q.Counts.Queue), q.Counts
		sum.jobs[penstock.Waiting] += n.Waiting
		sum.jobs[penstock.Scheduled] += n.Scheduled
		sum.jobs[penstock.Retrying] += n.Retrying
		sum.jobs[penstock.Running] += n.Running
		sum.jobs[penstock.DeadState] += n.Dead
		sum.oldest = max(sum.oldest, q.OldestWaitingAge)
		sum.slots += q.Slots
		sum.paused = sum.paused || q.Paused
	}
	return all
}

func byAge(a, b penstock.QueueSample) int { return cmp.Compare(a.Age, b.Age) }

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
