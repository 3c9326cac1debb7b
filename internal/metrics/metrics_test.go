package metrics

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// scraped is what a scrape in Prometheus's text format shows.
func scraped(t *testing.T, m *Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	return recorder.Body.String()
}

func TestAScrapeShowsWhatTheWorkloadDid(t *testing.T) {
	t.Parallel()
	m := work(t)
	text := scraped(t, m.Metrics)
	for _, line := range []string{
		`penstock_attempts_total{name="welcome",outcome="completed",queue="mail"} 20`,
		`penstock_attempts_total{name="flaky",outcome="failed",queue="mail"} 1`,
		`penstock_attempts_total{name="flaky",outcome="completed",queue="mail"} 1`,
		`penstock_attempts_total{name="hopeless",outcome="dead",queue="mail"} 1`,
		`penstock_attempts_total{name="sleepy",outcome="snoozed",queue="mail"} 1`,
		`penstock_attempts_total{name="welcome",outcome="lease_lost",queue="mail"} 0`,
		`penstock_attempt_duration_seconds_count{name="welcome",outcome="completed",queue="mail"} 20`,
		`penstock_job_wait_seconds_count{name="welcome",queue="mail"} 20`,
		`penstock_dead_jobs_total{name="hopeless",queue="mail"} 1`,
		`penstock_attempt_errors_total{class="Error",queue="mail"} 2`,
		`penstock_enqueued_jobs_total{queue="mail"} 25`,
		`penstock_enqueue_errors_total 1`,
		`penstock_queue_jobs{queue="mail",state="waiting"} 1`,
		`penstock_queue_jobs{queue="mail",state="scheduled"} 1`,
		`penstock_queue_jobs{queue="mail",state="dead"} 1`,
		`penstock_queue_paused{queue="mail"} 1`,
		`penstock_queue_slots{queue="mail"} 10`,
		`penstock_task_paused{task="dlq-purge"} 0`,
		`penstock_worker_concurrency{queue="mail"} 10`,
		`penstock_worker_jobs{queue="mail",stage="running"} 0`,
		`penstock_pool_max_connections 10`,
		`penstock_listener_up 1`,
		`penstock_samples_up 1`,
	} {
		require.True(t, strings.Contains(text, line+"\n"), line)
	}
	for _, risen := range []string{
		`penstock_claims_total{queue="mail",result="some"} `,
		`penstock_claims_total{queue="mail",result="none"} `,
		`penstock_claim_duration_seconds_count{queue="mail"} `,
		`penstock_claim_jobs_count{queue="mail"} `,
		`penstock_finish_jobs_count `,
		`penstock_finish_duration_seconds_count `,
		`penstock_enqueue_duration_seconds_count `,
		`penstock_heartbeat_duration_seconds_count `,
		`penstock_fetcher_wakeups_total{by="poll",queue="mail"} `,
		`penstock_pool_acquires_total `,
		`penstock_queue_oldest_age_seconds{queue="mail"} `,
	} {
		require.True(t, strings.Contains(text, risen) && !strings.Contains(text, risen+"0\n"), risen)
	}
}

func TestWhatIsExposedFollowsPrometheussConventions(t *testing.T) {
	t.Parallel()
	m := work(t)
	problems, err := testutil.GatherAndLint(m.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Native histograms travel in protobuf alone.
func TestHistogramsAreNativeAndClassic(t *testing.T) {
	t.Parallel()
	m := work(t)
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	request.Header.Set("Accept", string(format))
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, request)
	decoder := expfmt.NewDecoder(bytes.NewReader(recorder.Body.Bytes()), format)
	histograms := 0
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			break
		}
		if family.GetType() != dto.MetricType_HISTOGRAM || !strings.HasPrefix(family.GetName(), namespace) {
			continue
		}
		histograms++
		h := family.GetMetric()[0].GetHistogram()
		require.NotEmpty(t, h.GetBucket(), family.GetName())
		require.NotNil(t, h.Schema, family.GetName())
	}
	require.GreaterOrEqual(t, histograms, 8)
}

// fakeRead is a read of the database that a test steers.
type fakeRead struct {
	mu    sync.Mutex
	reads int
	err   error
	hold  chan struct{} // when set, a read waits for it or for its limit
}

func (f *fakeRead) read(ctx context.Context) (seen, error) {
	f.mu.Lock()
	f.reads++
	err, hold := f.err, f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return seen{}, ctx.Err()
		}
	}
	return seen{queues: []penstock.QueueSample{{Counts: penstock.QueueCounts{Queue: "mail", Waiting: 7}}}}, err
}

func TestScrapesShareOneReadInTenSeconds(t *testing.T) {
	f, now := &fakeRead{hold: make(chan struct{})}, time.Now()
	m := New("test")
	s := newSamples(m.queues, f.read)
	s.now = func() time.Time { return now }
	m.registry.MustRegister(s)
	var scrapes sync.WaitGroup
	for range 8 {
		scrapes.Go(func() { require.Contains(t, scraped(t, m), `penstock_queue_jobs{queue="mail",state="waiting"} 7`) })
	}
	close(f.hold)
	scrapes.Wait()
	require.Equal(t, 1, f.reads)
	now = now.Add(samplesEvery - time.Millisecond)
	scraped(t, m)
	require.Equal(t, 1, f.reads)
	now = now.Add(time.Millisecond)
	scraped(t, m)
	require.Equal(t, 2, f.reads)
}

func TestAFailedReadShowsAndEverythingElseStays(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *fakeRead
	}{
		{"an error", &fakeRead{err: errors.New("no route to host 10.0.0.7")}},
		{"a read past its limit", &fakeRead{hold: make(chan struct{})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			m := New("test")
			s := newSamples(m.queues, c.f.read)
			s.now = func() time.Time { return now }
			m.registry.MustRegister(s)
			m.Hooks().Ended(penstock.EndEvent{Queue: "mail", Name: "n", Outcome: "completed"})

			text := scraped(t, m)
			require.Contains(t, text, "penstock_samples_up 0\n")
			require.Contains(t, text, "penstock_samples_read_errors_total 1\n")
			require.Contains(t, text, `penstock_attempts_total{name="n",outcome="completed",queue="mail"} 1`)
			require.NotContains(t, text, "penstock_queue_jobs")
			require.NotContains(t, text, "10.0.0.7")

			now = now.Add(samplesEvery)
			c.f.mu.Lock()
			c.f.err, c.f.hold = nil, nil
			c.f.mu.Unlock()
			text = scraped(t, m)
			require.Contains(t, text, "penstock_samples_up 1\n")
			require.Contains(t, text, `penstock_queue_jobs{queue="mail",state="waiting"} 7`)
		})
	}
}

func TestHandlerAnswersOnlyWhatItCanGather(t *testing.T) {
	m := New("test")
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fine"}, func() float64 { return 1 }))
	require.Contains(t, scraped(t, m), `penstock_build_info{goversion="go`)
	require.Contains(t, scraped(t, m), `version="test"} 1`)
}
