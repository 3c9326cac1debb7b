package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock/penstock"
)

// queues counts what this process does with each queue.
type queues struct {
	labels *bounded[string, string] // of every queue anything is shown of
	series *bounded[string, *queueSeries]
}

type queueSeries struct {
	enqueued      prometheus.Counter
	claims        map[string]prometheus.Counter // by result
	claimDuration prometheus.Observer
	claimJobs     prometheus.Observer
	wakeups       map[penstock.WakeReason]prometheus.Counter
	notifications prometheus.Counter
}

func newQueues(r prometheus.Registerer) *queues {
	enqueued := counter("enqueued_jobs_total",
		"Jobs this process asked to be enqueued, repeats and those of transactions rolled back later included.", "queue")
	claims := counter("claims_total", "Claims, by how many of the jobs asked for came: all, some, none, or an error.",
		"queue", "result")
	duration := histogram("claim_duration_seconds", "How long claims took.", callSeconds, "queue")
	jobs := histogram("claim_jobs", "How many jobs claims brought that brought any.", batchSizes, "queue")
	wakeups := counter("fetcher_wakeups_total",
		"Rests between claims, by what ended them: a notification, an enqueue in this process, a free handler, or time (poll).",
		"queue", "by")
	notifications := counter("notifications_total", "Notifications of Postgres that arrived.", "queue")
	r.MustRegister(enqueued, claims, duration, jobs, wakeups, notifications)

	q := &queues{labels: newBounded(mostQueues, func(queue string) string { return queue }, foldQueue)}
	q.series = newBounded(mostQueues+1, func(queue string) *queueSeries {
		s := &queueSeries{
			enqueued: enqueued.WithLabelValues(queue), claims: map[string]prometheus.Counter{},
			claimDuration: duration.WithLabelValues(queue), claimJobs: jobs.WithLabelValues(queue),
			wakeups: map[penstock.WakeReason]prometheus.Counter{}, notifications: notifications.WithLabelValues(queue),
		}
		for _, result := range []string{"all", "some", "none", "error"} {
			s.claims[result] = claims.WithLabelValues(queue, result)
		}
		for _, by := range []penstock.WakeReason{
			penstock.WokenByNotification, penstock.WokenByEnqueue, penstock.WokenByRoom, penstock.WokenByPoll,
		} {
			s.wakeups[by] = wakeups.WithLabelValues(queue, string(by))
		}
		return s
	}, foldQueue)
	return q
}

func foldQueue(string) string { return other }

// label is how a queue is called in labels: by its name, or other.
func (q *queues) label(queue string) string { return q.labels.of(queue) }

func (q *queues) of(queue string) *queueSeries { return q.series.of(q.label(queue)) }

func (q *queues) enqueued(e penstock.EnqueueEvent) {
	if e.Err == nil {
		q.of(e.Queue).enqueued.Add(float64(e.Jobs))
	}
}

func (q *queues) claimed(e penstock.ClaimEvent) {
	s := q.of(e.Queue)
	result := "some"
	switch {
	case e.Err != nil:
		result = "error"
	case e.Jobs == 0:
		result = "none"
	case e.Jobs == e.Asked:
		result = "all"
	}
	s.claims[result].Inc()
	s.claimDuration.Observe(e.Took.Seconds())
	if e.Jobs > 0 {
		s.claimJobs.Observe(float64(e.Jobs))
	}
}

func (q *queues) woken(e penstock.WakeEvent) { q.of(e.Queue).wakeups[e.By].Inc() }

func (q *queues) notified(e penstock.NotifyEvent) { q.of(e.Queue).notifications.Inc() }
