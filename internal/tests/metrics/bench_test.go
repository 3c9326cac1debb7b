package metrics_test

import (
	_ "embed"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

//go:embed testdata/week.sql
var week string

// BenchmarkReads times every read of the metrics over a week's history of finished jobs:
// 10,000,000 of them, or PENSTOCK_BENCH_JOBS.
//
//	go test ./internal/tests/metrics -run xxx -bench Reads -benchtime 20x -timeout 30m
func BenchmarkReads(b *testing.B) {
	f := newFixture(b)
	jobs := "10000000"
	if n := os.Getenv("PENSTOCK_BENCH_JOBS"); n != "" {
		jobs = n
	}
	conn, err := f.Pool.Acquire(b.Context())
	require.NoError(b, err)
	_, err = conn.Exec(b.Context(), "SELECT set_config('bench.jobs', $1, false), set_config('work_mem', '256MB', false)", jobs)
	require.NoError(b, err)
	start := time.Now()
	for statement := range strings.SplitSeq(week, ";\n\n") {
		_, err = conn.Exec(b.Context(), statement)
		require.NoError(b, err)
	}
	conn.Release()
	version := ask[string](b, f, "SELECT current_setting('server_version')")
	size := ask[string](b, f, "SELECT pg_size_pretty(pg_database_size(current_database()))")
	samples := ask[string](b, f, `SELECT format('%s of metrics, %s of latencies', pg_size_pretty(pg_total_relation_size('penstock.metric_samples')),
		pg_size_pretty(pg_total_relation_size('penstock.latency_samples')))`)
	b.Logf("%s jobs of 4 queues and 3 names in 7 days, made in %s; PostgreSQL %s, database %s, samples: %s",
		jobs, time.Since(start).Round(time.Second), version, size, samples)

	performance := func(q penstock.PerformanceQuery) func() error {
		return func() error { _, err := f.client.Metrics.Performance(b.Context(), q); return err }
	}
	history := func(q penstock.HistoryQuery) func() error {
		return func() error { _, err := f.client.Metrics.History(b.Context(), q); return err }
	}
	metrics := func(window time.Duration) func() error {
		return func() error { _, err := f.client.Metrics.Queue(b.Context(), "queue-1", window); return err }
	}
	now, day := time.Now(), 24*time.Hour
	for _, read := range []struct {
		name string
		call func() error
	}{
		{"metrics of an hour", metrics(time.Hour)},
		{"metrics of a week", metrics(7 * day)},
		{"all metrics of an hour", func() error { _, err := f.client.Metrics.All(b.Context(), time.Hour); return err }},
		{"all metrics of a week", func() error { _, err := f.client.Metrics.All(b.Context(), 7*day); return err }},
		{"performance of 5 minutes (attempts)", performance(penstock.PerformanceQuery{Queue: "queue-1", Window: 5 * time.Minute})},
		{"performance of an hour", performance(penstock.PerformanceQuery{Queue: "queue-1", Window: time.Hour})},
		{"performance of an hour, days ago", performance(penstock.PerformanceQuery{
			Queue: "queue-1", From: now.Add(-3*day - 90*time.Minute), To: now.Add(-3*day - 30*time.Minute),
		})},
		{"performance of a name, a week", performance(penstock.PerformanceQuery{Queue: "queue-1", Name: "name-2", Window: 7 * day})},
		{"performance of a week", performance(penstock.PerformanceQuery{Queue: "queue-1", Window: 7*day - 17*time.Minute})},
		{"history of an hour by minutes", history(penstock.HistoryQuery{Queue: "queue-1", From: now.Add(-time.Hour)})},
		{"history of a day by minutes", history(penstock.HistoryQuery{Queue: "queue-1", From: now.Add(-day)})},
		{"history of a week by hours", history(penstock.HistoryQuery{Queue: "queue-1", From: now.Add(-7 * day), Step: penstock.StepHour})},
		{"history of all, a week by hours", history(penstock.HistoryQuery{From: now.Add(-7 * day), Step: penstock.StepHour})},
	} {
		b.Run(strings.ReplaceAll(read.name, " ", "_"), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := read.call(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50_ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "max_ms")
		})
	}
}
