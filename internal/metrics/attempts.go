package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// attempts counts what happens to jobs, by queue and name.
type attempts struct {
	kinds   *bounded[kind, *kindSeries]
	ends    *bounded[end, *endSeries]
	classes *bounded[class, prometheus.Counter]
}

// kind is one sort of job.
type kind struct{ queue, name string }

type kindSeries struct {
	kind // as it is labelled
	wait prometheus.Observer
	dead prometheus.Counter
}

// end is one way for a kind's attempts to end.
type end struct {
	kind
	outcome string
}

type endSeries struct {
	attempts prometheus.Counter
	duration prometheus.Observer
}

type class struct{ queue, class string }

// leaseLost is the outcome of an attempt whose end came too late to count.
const leaseLost = "lease_lost"

var outcomes = []string{"completed", "failed", "dead", "snoozed", "released", "cancelled", leaseLost}

func newAttempts(r prometheus.Registerer, q *queues) *attempts {
	total := counter("attempts_total", "Attempts of this process's workers that ended, by what their handler said.",
		"queue", "name", "outcome")
	duration := histogram("attempt_duration_seconds", "How long handlers ran.", jobSeconds, "queue", "name", "outcome")
	wait := histogram("job_wait_seconds", "From the moment a job was due to its claim, by the database's clock.",
		jobSeconds, "queue", "name")
	dead := counter("dead_jobs_total", "Jobs that an attempt of this process laid in the dead letter queue.", "queue", "name")
	errors := counter("attempt_errors_total", "Attempts that ended with an error, by its class.", "queue", "class")
	r.MustRegister(total, duration, wait, dead, errors)

	a := &attempts{}
	a.kinds = newBounded(mostNames, func(k kind) *kindSeries {
		k.queue = q.label(k.queue)
		for _, o := range outcomes { // from zero, so that the first of each is seen to rise
			total.WithLabelValues(k.queue, k.name, o)
		}
		return &kindSeries{k, wait.WithLabelValues(k.queue, k.name), dead.WithLabelValues(k.queue, k.name)}
	}, func(k kind) kind { return kind{q.label(k.queue), other} })
	a.ends = newBounded(mostNames*len(outcomes), func(e end) *endSeries {
		k := a.kinds.of(e.kind)
		return &endSeries{
			total.WithLabelValues(k.queue, k.name, e.outcome), duration.WithLabelValues(k.queue, k.name, e.outcome),
		}
	}, func(e end) end { return end{kind{q.label(e.queue), other}, e.outcome} })
	a.classes = newBounded(mostClasses, func(c class) prometheus.Counter {
		return errors.WithLabelValues(q.label(c.queue), c.class)
	}, func(c class) class { return class{q.label(c.queue), other} })
	return a
}

func (a *attempts) started(e penstock.StartEvent) {
	a.kinds.of(kind{e.Queue, e.Name}).wait.Observe(e.Wait.Seconds())
}

func (a *attempts) ended(e penstock.EndEvent) {
	outcome := e.Outcome
	if e.LeaseLost {
		outcome = leaseLost
	}
	series := a.ends.of(end{kind{e.Queue, e.Name}, outcome})
	series.attempts.Inc()
	if e.Ran > 0 { // else it was given back before it started
		series.duration.Observe(e.Ran.Seconds())
	}
	if e.State == string(penstock.DeadState) {
		a.kinds.of(kind{e.Queue, e.Name}).dead.Inc()
	}
	if e.ErrorClass != "" {
		a.classes.of(class{e.Queue, e.ErrorClass}).Inc()
	}
}
