package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	againstRows    = "rows"
	againstCommits = "commits"
)

// setHeadline makes a row's figures those of the report.
func (r *Report) setHeadline(row Row) { r.Speed, r.Latency = row.Speed, row.Latency }

func (r *Report) addFinding(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// addAmount adds a row that is neither a rate nor a latency.
func (r *Report) addAmount(name string, amount float64, unit string) {
	r.Rows = append(r.Rows, Row{Name: name, Amount: &Amount{amount, unit}})
}

func speed(jobs int64, took time.Duration) *Speed {
	return &Speed{jobs, took.Seconds(), float64(jobs) / max(took.Seconds(), 1e-6)}
}

// compareWithLimits relates every row to the mean of the limits.
func (r *Report) compareWithLimits(before, after Limit) {
	r.Limit = Limits{before, after}
	for i := range r.Rows {
		row := &r.Rows[i]
		switch {
		case row.Speed == nil:
		case row.Against == againstCommits:
			row.OfLimit = row.JobsPerSecond / mean(before.CommitsPerSecond, after.CommitsPerSecond)
		default:
			row.Against = againstRows
			row.OfLimit = row.JobsPerSecond / mean(before.RowsPerSecond, after.RowsPerSecond)
		}
	}
}

func mean(a, b float64) float64 { return (a + b) / 2 }

// times is a distribution of durations up to a minute, in microseconds with three
// digits. It is not safe for concurrent use.
type times struct{ histogram *hdrhistogram.Histogram }

func newTimes() times { return times{hdrhistogram.New(1, time.Minute.Microseconds(), 3)} }

// record counts a duration; anything longer than a minute counts as a minute.
func (t times) record(d time.Duration) {
	_ = t.histogram.RecordValue(min(max(d, 0), time.Minute).Microseconds()) // in range, so it cannot fail
}

func (t times) latency() *Latency {
	at := func(q float64) float64 { return float64(t.histogram.ValueAtQuantile(q)) / 1000 }
	return &Latency{t.histogram.TotalCount(), at(50), at(95), at(99), float64(t.histogram.Max()) / 1000}
}
