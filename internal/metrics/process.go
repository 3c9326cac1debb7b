package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// process counts what this process does whatever the queue.
type process struct {
	enqueueDuration, enqueueJobs prometheus.Observer
	enqueueErrors                prometheus.Counter
	finishDuration, finishJobs   prometheus.Observer
	finishErrors                 prometheus.Counter
	beatDuration                 prometheus.Observer
	beatErrors, burialsOfOwn     prometheus.Counter
	listenerUp                   prometheus.Gauge
	listenerErrors               prometheus.Counter
	burials, lostAttempts        prometheus.Counter
}

func newProcess(r prometheus.Registerer) *process {
	// One series each: a vector without labels.
	times := func(name, help string) prometheus.Observer {
		h := histogram(name, help, callSeconds)
		r.MustRegister(h)
		return h.WithLabelValues()
	}
	sizes := func(name, help string) prometheus.Observer {
		h := histogram(name, help, batchSizes)
		r.MustRegister(h)
		return h.WithLabelValues()
	}
	count := func(name, help string) prometheus.Counter {
		c := counter(name, help)
		r.MustRegister(c)
		return c.WithLabelValues()
	}
	up := gauge("listener_up", "Whether the connection for notifications is up; while it is 0, fetchers poll.")
	r.MustRegister(up)
	return &process{
		enqueueDuration: times("enqueue_duration_seconds", "How long statements of enqueues took, those shared by callers too."),
		enqueueJobs:     sizes("enqueue_jobs", "How many jobs of a queue a statement enqueued."),
		enqueueErrors:   count("enqueue_errors_total", "Statements of enqueues that failed."),
		finishDuration:  times("finish_duration_seconds", "How long it took to write a batch of attempts' ends."),
		finishJobs:      sizes("finish_jobs", "How many ends a batch had."),
		finishErrors:    count("finish_errors_total", "Batches of ends that failed; they are written again."),
		beatDuration:    times("heartbeat_duration_seconds", "How long heartbeats took."),
		beatErrors:      count("heartbeat_errors_total", "Heartbeats that failed; a worker without any for its lease is buried."),
		burialsOfOwn:    count("heartbeats_after_burial_total", "Times that a worker of this process found itself buried."),
		listenerUp:      up.WithLabelValues(),
		listenerErrors:  count("listener_errors_total", "Times that the connection for notifications was lost or not to be had."),
		burials:         count("workers_buried_total", "Silent workers that this process buried."),
		lostAttempts:    count("attempts_lost_total", "Attempts that ended as lost with the workers this process buried."),
	}
}

func (p *process) enqueued(e penstock.EnqueueEvent) {
	p.enqueueDuration.Observe(e.Took.Seconds())
	if e.Err != nil {
		p.enqueueErrors.Inc()
		return
	}
	p.enqueueJobs.Observe(float64(e.Jobs))
}

func (p *process) flushed(e penstock.FlushEvent) {
	p.finishDuration.Observe(e.Took.Seconds())
	if e.Err != nil {
		p.finishErrors.Inc()
		return
	}
	p.finishJobs.Observe(float64(e.Ends))
}

func (p *process) beaten(e penstock.BeatEvent) {
	p.beatDuration.Observe(e.Took.Seconds())
	if e.Err != nil {
		p.beatErrors.Inc()
	}
	if e.Gone {
		p.burialsOfOwn.Inc()
	}
}

func (p *process) listening(e penstock.ListenEvent) {
	if e.Up {
		p.listenerUp.Set(1)
		return
	}
	p.listenerUp.Set(0)
	if e.Err != nil {
		p.listenerErrors.Inc()
	}
}

func (p *process) buried(lost int) {
	p.burials.Inc()
	p.lostAttempts.Add(float64(lost))
}
