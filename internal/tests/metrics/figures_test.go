package metrics_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// ended is n attempts that fell due, were claimed and ended together.
type ended struct {
	n         int
	outcome   string
	ago       time.Duration // when they ended
	wait, ran time.Duration
	name      string // empty: deploy
}

// end writes attempts of queue q and their tallies as finish would have at the time.
func (f *fixture) end(t tester, all ...ended) {
	t.Helper()
	for _, e := range all {
		if e.name == "" {
			e.name = "deploy"
		}
		f.exec(t, `WITH moments AS (
				SELECT clock_timestamp() - $1::interval AS at, clock_timestamp() - $1::interval - $2::interval AS claimed_at,
					clock_timestamp() - $1::interval - $2::interval - $3::interval AS run_at
			), rows AS (
				INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, run_at, claimed_at, finished_at, outcome)
				SELECT penstock.job_day() * 100000000000 + nextval('penstock.job_sequence'), 1, 'q', $6, 5, m.run_at, m.claimed_at, m.at, $5
				FROM moments m, generate_series(1, $4::integer)
			)
			INSERT INTO penstock.tallies (at, queue, name, outcome, claimed_at, jobs, run_ats, jobs_each)
			SELECT m.at, 'q', $6, $5, m.claimed_at, $4, ARRAY[m.run_at], ARRAY[$4::integer] FROM (SELECT DISTINCT * FROM moments) m`,
			e.ago, e.ran, e.wait, e.n, e.outcome, e.name)
	}
}

func ms(d *penstock.Milliseconds) float64 {
	if d == nil {
		return -1
	}
	return float64(*d) / float64(time.Millisecond)
}

func TestFiguresAreWhatOneWorksOutByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.end(t,
		ended{n: 30, outcome: "completed", ago: 5 * time.Minute, wait: 100 * time.Millisecond, ran: 200 * time.Millisecond},
		ended{n: 10, outcome: "failed", ago: 3 * time.Minute, wait: 500 * time.Millisecond, ran: time.Second},
		ended{n: 20, outcome: "completed", ago: time.Minute, wait: 400 * time.Millisecond, ran: 700 * time.Millisecond},
		ended{n: 99, outcome: "completed", ago: 2 * time.Hour, wait: time.Hour, ran: time.Hour}, // before the window
	)
	f.exec(t, "INSERT INTO penstock.tallies (at, queue, outcome, jobs) VALUES (clock_timestamp() - interval '4 minutes', 'q', 'enqueued', 40)")
	for _, folded := range []bool{false, true} {
		if folded {
			f.sample(t)
		}
		q, err := f.client.Metrics.Queue(t.Context(), "q", 10*time.Minute)
		require.NoError(t, err)
		require.WithinRange(t, q.Since, q.At.Add(-11*time.Minute), q.At.Add(-10*time.Minute))
		require.Equal(t, q.At.Sub(q.Since), time.Duration(q.Window))
		m, seconds := q.Metrics, q.At.Sub(q.Since).Seconds()
		require.EqualValues(t, 40, m.Enqueued)
		require.EqualValues(t, 50, m.Completed)
		require.EqualValues(t, 10, m.Failed)
		require.InDelta(t, 50.0/60, *m.SuccessRate, 1e-9)
		require.InDelta(t, 10.0/60, *m.FailureRate, 1e-9)
		require.InDelta(t, (30*200.0+20*700)/50, ms(m.AverageProcessingTime), 0.01)
		require.InDelta(t, (30*100.0+10*500+20*400)/60, ms(m.AverageWaitTime), 0.01)
		require.InDelta(t, 50/seconds, m.Throughput, 1e-6)
		require.InDelta(t, 50/seconds*3600, m.JobsPerHour, 1e-3)
		require.InDelta(t, 40/seconds, m.ArrivalRate, 1e-6)
		require.InDelta(t, 50/seconds, m.DrainRate, 1e-6)
		require.Zero(t, *m.TimeToDrain, "nothing is due")
		require.Equal(t, 4, m.Slots)
		require.InDelta(t, 4/0.4, *m.Capacity, 1e-3)
		require.Zero(t, *m.Utilisation)

		all, err := f.client.Metrics.All(t.Context(), 10*time.Minute)
		require.NoError(t, err)
		require.Len(t, all.Queues, 1)
		require.Equal(t, m.Completed, all.Total.Completed)
		require.Equal(t, m.SuccessRate, all.Total.SuccessRate)
	}

	// More comes than goes: it never drains. Fewer: what is due over the difference.
	f.enqueue(t, "deploy", 100)
	m, err := f.client.Metrics.Queue(t.Context(), "q", 10*time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 100, m.Metrics.Waiting)
	require.Nil(t, m.Metrics.TimeToDrain)
	f.end(t, ended{n: 200, outcome: "completed", ran: time.Millisecond})
	m, err = f.client.Metrics.Queue(t.Context(), "q", 10*time.Minute)
	require.NoError(t, err)
	require.InEpsilon(t, 100/(m.Metrics.DrainRate-m.Metrics.ArrivalRate)*1000, ms(m.Metrics.TimeToDrain), 1e-6)
}

func TestWhatNobodyUsedHasNoRates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	q, err := f.client.Metrics.Queue(t.Context(), "nobody", time.Hour)
	require.NoError(t, err)
	text, err := json.Marshal(q)
	require.NoError(t, err)
	var answer struct {
		QueueName string         `json:"queueName"`
		Metrics   map[string]any `json:"metrics"`
	}
	require.NoError(t, json.Unmarshal(text, &answer))
	require.Equal(t, "nobody", answer.QueueName)
	for _, rate := range []string{"successRate", "failureRate", "averageProcessingTime", "averageWaitTime", "capacity", "utilisation"} {
		value, named := answer.Metrics[rate]
		require.True(t, named, rate)
		require.Nil(t, value, rate)
	}
	for _, zero := range []string{"waiting", "running", "dead", "completed", "failed", "throughput", "oldestWaitingAge", "timeToDrain"} {
		require.EqualValues(t, 0, answer.Metrics[zero], zero)
	}
	p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "nobody", Window: time.Hour})
	require.NoError(t, err)
	require.Equal(t, penstock.Latency{}, p.WaitTime)
	p, err = f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "nobody", Window: 24 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, penstock.Latency{}, p.ProcessingTime)
	h, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "nobody", From: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.Equal(t, []penstock.Sample{}, h)
}

func TestAStallShowsInTheWaitThoughNothingEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.end(t, ended{n: 10, outcome: "completed", ago: 20 * time.Minute, wait: time.Millisecond, ran: time.Millisecond})
	f.enqueue(t, "deploy", 30)
	f.enqueue(t, "other", 5)
	f.exec(t, "UPDATE penstock.pending SET run_at = run_at - interval '10 minutes' WHERE name = 'deploy'")
	f.exec(t, "SELECT penstock.enqueue('q', 'deploy', delay => '1 hour')") // is not due
	q, err := f.client.Metrics.Queue(t.Context(), "q", 30*time.Minute)
	require.NoError(t, err)
	require.InDelta(t, 600_000, ms(&q.Metrics.OldestWaitingAge), 30_000)
	require.InDelta(t, 600_000*30/45, ms(q.Metrics.AverageWaitTime), 30_000)
	for _, window := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
		p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Name: "deploy", Window: window})
		require.NoError(t, err)
		require.EqualValues(t, 40, p.WaitTime.Count, p.Source)
		require.InDelta(t, 600_000, ms(p.WaitTime.P95), 30_000, p.Source)
		require.EqualValues(t, 10, p.TotalTime.Count, p.Source)
	}
	// A span that ended before now is about what was then.
	p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{
		Queue: "q", From: time.Now().Add(-30 * time.Minute), To: time.Now().Add(-time.Minute),
	})
	require.NoError(t, err)
	require.EqualValues(t, 10, p.WaitTime.Count)
}

func TestWindowsAreHeldToTheirBounds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := time.Now()
	calls := map[string]struct {
		argument string
		call     func() error
	}{
		"metrics of no queue": {"queue", func() error { _, err := f.client.Metrics.Queue(t.Context(), "", time.Hour); return err }},
		"no window":           {"window", func() error { _, err := f.client.Metrics.Queue(t.Context(), "q", 0); return err }},
		"a window too short":  {"window", func() error { _, err := f.client.Metrics.All(t.Context(), 59*time.Second); return err }},
		"a window too long":   {"window", func() error { _, err := f.client.Metrics.All(t.Context(), 732*24*time.Hour); return err }},
		"performance of no queue": {"queue", func() error {
			_, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Window: time.Hour})
			return err
		}},
		"performance over nothing": {"window", func() error {
			_, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q"})
			return err
		}},
		"performance backwards": {"from", func() error {
			_, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", From: now, To: now.Add(-time.Hour)})
			return err
		}},
		"performance ahead": {"since", func() error {
			_, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", From: now.Add(time.Hour)})
			return err
		}},
		"history from nowhere": {"from", func() error {
			_, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q"})
			return err
		}},
		"history backwards": {"from", func() error {
			_, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q", From: now, To: now.Add(-time.Hour)})
			return err
		}},
		"history by the second": {"step", func() error {
			_, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q", From: now.Add(-time.Hour), Step: "second"})
			return err
		}},
		"history of too many steps": {"since", func() error {
			_, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q", From: now.Add(-9 * 24 * time.Hour)})
			return err
		}},
	}
	for name, c := range calls {
		t.Run(name, func(t *testing.T) {
			var refused *penstock.ArgumentError
			err := c.call()
			require.True(t, errors.As(err, &refused), "%v", err)
			require.Equal(t, c.argument, refused.Argument, refused.Message)
		})
	}
}
