package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// PerformanceQuery asks how long attempts took that ended in a span of time.
type PerformanceQuery struct {
	Queue  string        // required
	Name   string        // "": all names
	Window time.Duration // up to To, 1 minute to 731 days; 0: from From on
	From   time.Time     // zero with Window
	To     time.Time     // zero: now
}

// Performance is how long attempts took. Source is what the percentiles are computed from:
//
//   - attempts: the rows themselves, interpolated, over exactly the span asked for. For
//     spans of up to an hour with at most 20,000 attempts of the queue and 50,000 of all.
//   - samples: counts by logarithmic bucket. Each percentile is within Error (0.01: 1%) of
//     the time at its rank, floor(share × (count − 1)); the other figures are exact. The
//     span starts and ends at a minute, an hour or a day, as far back as those are kept.
//
// What is due now counts in WaitTime with its age when the span reaches to now, so that
// a stall shows; of more than 50,000 such jobs a random share does.
type Performance struct {
	Queue          string    `json:"queueName"`
	Name           string    `json:"name,omitempty"`
	From           time.Time `json:"from"`
	To             time.Time `json:"to"`
	Source         string    `json:"source"`         // attempts or samples
	Error          float64   `json:"error"`          // of percentiles: 0 or 0.01
	ProcessingTime Latency   `json:"processingTime"` // from claim to end, of attempts that completed
	WaitTime       Latency   `json:"waitTime"`       // from due to claim, of all that were claimed
	TotalTime      Latency   `json:"totalTime"`      // from due to end, of attempts that completed
}

// Latency sums up durations. Without any, count is 0 and the rest nil.
type Latency struct {
	Count             int64         `json:"count"`
	Average           *Milliseconds `json:"average"`
	Median            *Milliseconds `json:"median"`
	P95               *Milliseconds `json:"p95"`
	P99               *Milliseconds `json:"p99"`
	Min               *Milliseconds `json:"min"`
	Max               *Milliseconds `json:"max"`
	StandardDeviation *Milliseconds `json:"standardDeviation"` // of the whole, not of a sample
}

// Source of a Performance.
const (
	SourceAttempts = "attempts"
	SourceSamples  = "samples"
)

// bucketError is what the buckets of duration_bucket in migrations/ are off by at most.
const bucketError = 0.01

// Performance returns how long the attempts of a queue took. Errors: *ArgumentError.
func (c MetricsClient) Performance(ctx context.Context, q PerformanceQuery) (Performance, error) {
	p := Performance{Queue: q.Queue, Name: q.Name}
	switch {
	case q.Queue == "":
		return p, refuse("queue", "given", "nothing")
	case q.Window == 0 && q.From.IsZero():
		return p, refuse("window", "given, or from", "neither")
	case q.Window != 0 && !q.From.IsZero():
		return p, refuse("window", "left out when from is given", q.Window)
	case q.Window == 0 && !q.To.IsZero() && !q.From.Before(q.To):
		return p, refuse("from", "before to", q.From.Format(time.RFC3339))
	case q.Window != 0:
		if err := checkWindow(q.Window); err != nil {
			return p, err
		}
	}
	argument, start := "from", q.From
	if q.Window != 0 && !q.To.IsZero() {
		argument, start = "to", q.To.Add(-q.Window)
	}
	if start.UTC().Year() < 1 { // JSON has no year before 0 to answer with
		return p, refuse(argument, "so late that the span begins after the year 0", start.UTC().Format(time.RFC3339))
	}
	params := db.PerformanceParams{Queue: q.Queue, Name: optional(q.Name), Span: q.Window, Since: moment(q.From), Until: moment(q.To)}
	rows, err := c.queries.Performance(ctx, params)
	if err != nil {
		return p, translate("read performance", err)
	}
	times := map[string]*Latency{"processing": &p.ProcessingTime, "wait": &p.WaitTime, "total": &p.TotalTime}
	for _, r := range rows {
		p.From, p.To, p.Source = r.Since.UTC(), r.Until.UTC(), r.Source
		*times[r.Metric] = Latency{
			r.Jobs, durationOf(r.AverageMs), durationOf(r.MedianMs), durationOf(r.P95Ms), durationOf(r.P99Ms),
			durationOf(r.LeastMs), durationOf(r.MostMs), durationOf(r.DeviationMs),
		}
	}
	if p.Source == SourceSamples {
		p.Error = bucketError
	}
	return p, nil
}
