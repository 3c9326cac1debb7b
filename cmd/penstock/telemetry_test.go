package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/testkit"
)

// get is the body of an answer with status 200.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}

// traces is a collector's end of OTLP: the spans that arrive, by name.
func traces(t *testing.T) (url string, spans chan string) {
	t.Helper()
	spans = make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if proto.Unmarshal(body, &request) != nil {
			return
		}
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					spans <- span.GetName()
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, spans
}

func TestAWorkerAnswersScrapesAndExportsItsTraces(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	collectorURL, spans := traces(t)
	p := start(t, []string{
		"DATABASE_URL=" + db.URL, "OTEL_EXPORTER_OTLP_ENDPOINT=" + collectorURL, "OTEL_BSP_SCHEDULE_DELAY=50",
	}, "work", "--log-format", "json", "--queue", "mail", "--admin-listen", "127.0.0.1:0", "--", "true")
	admin := "http://" + p.Await(t, `"metrics and profiles","listen":"([^"]+)"`)[1]
	require.Contains(t, get(t, admin+"/metrics"), "penstock_samples_up 1\n")
	require.Zero(t, call(t, []string{"DATABASE_URL=" + db.URL}, "", "enqueue", "mail", "welcome").code)

	seen := map[string]bool{}
	for !seen["claim mail"] || !seen["attempt mail"] || !seen["finish mail"] {
		select {
		case name := <-spans:
			seen[name] = true
		case <-time.After(time.Minute):
			require.FailNow(t, "not every span arrived", "%v", seen)
		}
	}
	text := get(t, admin+"/metrics")
	for _, line := range []string{
		`penstock_attempts_total{name="welcome",outcome="completed",queue="mail"} 1`,
		`penstock_worker_jobs{queue="mail",stage="running"} 0`,
	} {
		require.True(t, strings.Contains(text, line+"\n"), line)
	}
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, command.ExitDone, p.Exit(t))
}

func TestAServerAnswersScrapesAndTracesRequests(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	collectorURL, spans := traces(t)
	p := start(t, []string{
		"DATABASE_URL=" + db.URL, "OTEL_EXPORTER_OTLP_ENDPOINT=" + collectorURL, "OTEL_BSP_SCHEDULE_DELAY=50",
	}, "serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	server := p.Await(t, `"serving".*"listen":"([^"]+)","admin":"([^"]+)"`)
	require.Contains(t, get(t, server[2]+"/metrics"), "penstock_samples_up 1\n")
	response, err := http.Get(server[1] + "/nowhere")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	select {
	case name := <-spans:
		require.Contains(t, name, "GET")
	case <-time.After(time.Minute):
		require.FailNow(t, "no span of the request arrived")
	}
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, command.ExitDone, p.Exit(t))
}

func TestATraceExporterThatIsNotThereIsAUsageError(t *testing.T) {
	db := testkit.New(t)
	got := call(t, []string{"DATABASE_URL=" + db.URL, "OTEL_TRACES_EXPORTER=zipkin"}, "", "work", "--queue", "q", "--drain", "--", "true")
	require.Equal(t, command.ExitUsage, got.code)
	require.Contains(t, got.stderr, "OTEL_TRACES_EXPORTER")
}
