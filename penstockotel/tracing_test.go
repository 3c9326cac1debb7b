package penstockotel_test

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
	"github.com/penstock/penstock/penstockotel"
)

// fixture is a traced client and what it and its workers exported.
type fixture struct {
	*testkit.DB
	client   *penstock.Client
	tracing  *penstockotel.Tracing
	exporter *tracetest.InMemoryExporter
	tracer   trace.Tracer // of the program around
	ends     chan penstock.EndEvent
}

func newFixture(t *testing.T, cfg penstockotel.Config) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t), exporter: tracetest.NewInMemoryExporter(), ends: make(chan penstock.EndEvent, 100)}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(f.exporter))
	f.tracer = provider.Tracer("program")
	cfg.TracerProvider = provider
	f.tracing = penstockotel.New(cfg)
	client, err := penstock.NewClient(f.Pool, penstock.Config{
		Hooks:             f.tracing.Hooks().And(penstock.Hooks{Ended: func(e penstock.EndEvent) { f.ends <- e }}),
		EnqueueMiddleware: []penstock.EnqueueMiddleware{f.tracing.Enqueue},
	})
	require.NoError(t, err)
	f.client = client
	return f
}

type handler = func(ctx context.Context, job *penstock.Job[json.RawMessage]) error

// work runs fn for the jobs of queue mail until n attempts have ended.
func (f *fixture) work(t *testing.T, n int, fn handler) (ends []penstock.EndEvent) {
	t.Helper()
	worker, err := penstock.NewWorker(f.client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"mail": {}}, Middleware: []penstock.Middleware{f.tracing.Attempt},
	})
	require.NoError(t, err)
	penstock.Handle(worker, "mail", penstock.AnyName, fn)
	// The span a worker is started in is not what its attempts belong to.
	ctx, start := f.tracer.Start(context.Background(), "start")
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	for range n {
		select {
		case e := <-f.ends:
			ends = append(ends, e)
		case <-time.After(time.Minute):
			require.FailNow(t, "not every attempt ended")
		}
	}
	stop()
	require.NoError(t, <-done)
	start.End()
	return ends
}

// spans are the exported ones of a name, in the order they ended.
func (f *fixture) spans(name string) (found tracetest.SpanStubs) {
	for _, s := range f.exporter.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func attributes(s tracetest.SpanStub) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func quickly() *penstock.RetryStrategy {
	return &penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Millisecond}
}

type smtpError struct{}

func (smtpError) Error() string { return "mailbox unavailable" }

func TestAJobIsOneTraceFromItsEnqueueThroughARetryToItsCompletion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, penstockotel.Config{})
	ctx, request := f.tracer.Start(t.Context(), "POST /orders")
	id, err := f.client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome", Retry: quickly()})
	require.NoError(t, err)
	request.End()
	f.work(t, 2, func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
		_, inner := f.tracer.Start(ctx, "send")
		defer inner.End()
		if job.Attempt == 1 {
			return smtpError{}
		}
		return nil
	})

	story := request.SpanContext().TraceID()
	enqueue := f.spans("enqueue mail")[0]
	require.Equal(t, story, enqueue.SpanContext.TraceID())
	require.Equal(t, request.SpanContext().SpanID(), enqueue.Parent.SpanID())
	require.Equal(t, trace.SpanKindProducer, enqueue.SpanKind)
	job := fmt.Sprint(id)
	require.Equal(t, map[string]any{
		"messaging.system": "penstock", "messaging.destination.name": "mail", "messaging.operation.name": "enqueue",
		"messaging.operation.type": "send", "messaging.message.id": job, "penstock.job.name": "welcome",
	}, attributes(enqueue))

	attempts, finishes, inner := f.spans("attempt mail"), f.spans("finish mail"), f.spans("send")
	require.Len(t, attempts, 2)
	require.Len(t, finishes, 2)
	slices.SortFunc(finishes, func(a, b tracetest.SpanStub) int { // hooks may be told out of order
		return cmp.Compare(attributes(a)["penstock.job.attempt"].(int64), attributes(b)["penstock.job.attempt"].(int64))
	})
	for i, a := range attempts {
		require.Equal(t, story, a.SpanContext.TraceID())
		require.Equal(t, enqueue.SpanContext.SpanID(), a.Parent.SpanID())
		require.True(t, a.Parent.IsRemote())
		require.Len(t, a.Links, 1)
		require.Equal(t, enqueue.SpanContext.SpanID(), a.Links[0].SpanContext.SpanID())
		require.Equal(t, trace.SpanKindConsumer, a.SpanKind)
		require.Equal(t, a.SpanContext.SpanID(), inner[i].Parent.SpanID(), "the handler runs in the attempt's span")
		require.Equal(t, a.SpanContext.SpanID(), finishes[i].Parent.SpanID())
		require.Equal(t, trace.SpanKindClient, finishes[i].SpanKind)
		require.False(t, finishes[i].StartTime.Before(a.StartTime))
		require.Equal(t, int64(i+1), attributes(a)["penstock.job.attempt"])
	}
	require.Equal(t, map[string]any{
		"messaging.system": "penstock", "messaging.destination.name": "mail", "messaging.operation.name": "attempt",
		"messaging.operation.type": "process", "messaging.message.id": job, "penstock.job.name": "welcome",
		"penstock.job.attempt": int64(1), "penstock.job.failures": int64(0), "error.type": "smtpError",
	}, attributes(attempts[0]))
	require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "mailbox unavailable"}, attempts[0].Status)
	require.Equal(t, "exception", attempts[0].Events[0].Name)
	require.Equal(t, int64(1), attributes(attempts[1])["penstock.job.failures"])
	require.Equal(t, codes.Unset, attempts[1].Status.Code)

	first, second := attributes(finishes[0]), attributes(finishes[1])
	require.Equal(t, "settle", first["messaging.operation.type"])
	require.Equal(t, "failed", first["penstock.attempt.outcome"])
	require.Equal(t, "retrying", first["penstock.job.state"])
	require.NotEmpty(t, first["penstock.job.run_at"])
	require.Equal(t, "completed", second["penstock.job.state"])

	claims := f.spans("claim mail")
	require.Len(t, claims, 2, "empty claims have no span")
	for _, c := range claims {
		require.False(t, c.Parent.IsValid())
		require.Equal(t, int64(1), attributes(c)["messaging.batch.message_count"])
		require.Equal(t, "receive", attributes(c)["messaging.operation.type"])
		require.Equal(t, enqueue.SpanContext.SpanID(), c.Links[0].SpanContext.SpanID())
	}
}

func TestAnAttemptMayHaveATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, penstockotel.Config{LinkOnly: true})
	_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "welcome"})
	require.NoError(t, err)
	f.work(t, 1, func(context.Context, *penstock.Job[json.RawMessage]) error { return nil })

	enqueue, attempt := f.spans("enqueue mail")[0], f.spans("attempt mail")[0]
	require.NotEqual(t, enqueue.SpanContext.TraceID(), attempt.SpanContext.TraceID())
	require.False(t, attempt.Parent.IsValid())
	require.Equal(t, enqueue.SpanContext.SpanID(), attempt.Links[0].SpanContext.SpanID())
	require.Equal(t, attempt.SpanContext.TraceID(), f.spans("finish mail")[0].SpanContext.TraceID())
}

func TestHowAnAttemptEndsShowsInItsSpans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		handle         handler
		attempt        codes.Code
		class          any
		finish         codes.Code
		outcome, state string
	}{
		{"a snooze is no failure", func(context.Context, *penstock.Job[json.RawMessage]) error {
			return penstock.Snooze(time.Hour)
		}, codes.Unset, nil, codes.Unset, "snoozed", "waiting"},
		{"a panic is one, and stays one", func(context.Context, *penstock.Job[json.RawMessage]) error {
			panic("oh")
		}, codes.Error, "Panic", codes.Unset, "failed", "retrying"},
		{"a dead job fails its finish too", func(context.Context, *penstock.Job[json.RawMessage]) error {
			return penstock.Dead(smtpError{})
		}, codes.Error, "smtpError", codes.Error, "dead", "dead"},
		{"an error without a type is an Error", func(context.Context, *penstock.Job[json.RawMessage]) error {
			return errors.New("no")
		}, codes.Error, "Error", codes.Unset, "failed", "retrying"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, penstockotel.Config{})
			_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "n"})
			require.NoError(t, err)
			end := f.work(t, 1, c.handle)[0]
			require.Equal(t, c.outcome, end.Outcome)
			attempt, finish := f.spans("attempt mail")[0], f.spans("finish mail")[0]
			require.Equal(t, c.attempt, attempt.Status.Code)
			require.Equal(t, c.class, attributes(attempt)["error.type"])
			require.Equal(t, c.finish, finish.Status.Code)
			require.Equal(t, c.state, attributes(finish)["penstock.job.state"])
		})
	}
}

func TestEveryWayToEnqueueCarriesItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, penstockotel.Config{})
	job := penstock.NewJob{Queue: "mail", Name: "n"}
	carries := func(span string, nth int, ids ...int64) {
		t.Helper()
		want := f.spans(span)[nth].SpanContext
		for _, id := range ids {
			info, err := f.client.Job(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("00-%s-%s-01", want.TraceID(), want.SpanID()), info.TraceContext)
		}
	}
	id, err := f.client.Enqueue(t.Context(), job)
	require.NoError(t, err)
	carries("enqueue mail", 0, id)

	ids, err := f.client.EnqueueMany(t.Context(), []penstock.NewJob{job, {Queue: "tts", Name: "n"}})
	require.NoError(t, err)
	carries("enqueue", 0, ids...)
	require.Equal(t, int64(2), attributes(f.spans("enqueue")[0])["messaging.batch.message_count"])

	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	id, err = f.client.InTx(tx).Enqueue(t.Context(), job)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	carries("enqueue mail", 1, id)

	db := sql.OpenDB(stdlib.GetPoolConnector(f.Pool))
	defer db.Close()
	id, err = f.client.InSQLTx(db).Enqueue(t.Context(), job)
	require.NoError(t, err)
	carries("enqueue mail", 2, id)

	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	job.TraceContext = own
	id, err = f.client.Enqueue(t.Context(), job)
	require.NoError(t, err)
	info, err := f.client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, own, info.TraceContext, "a job keeps the context it brings")

	jobs := []penstock.NewJob{{Queue: "mail", Name: "n"}}
	_, err = f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	require.Empty(t, jobs[0].TraceContext, "the caller's jobs are left alone")
}

func TestARefusedEnqueueFailsItsSpan(t *testing.T) {
	t.Parallel()
	f := newFixture(t, penstockotel.Config{})
	_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "n", Priority: "nonsense"})
	require.Error(t, err)
	span := f.spans("enqueue mail")[0]
	require.Equal(t, codes.Error, span.Status.Code)
	require.Contains(t, span.Attributes, attribute.String("error.type", penstock.ErrorClass(err)))
}

func TestATraceContextThatIsNoneStartsATrace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, penstockotel.Config{})
	for _, odd := range []string{"nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		_, err := f.Pool.Exec(t.Context(), `SELECT penstock.enqueue('mail', 'n', trace_context => $1)`, odd)
		require.NoError(t, err)
	}
	f.work(t, 2, func(context.Context, *penstock.Job[json.RawMessage]) error { return nil })
	for _, a := range f.spans("attempt mail") {
		require.False(t, a.Parent.IsValid())
		require.Empty(t, a.Links)
	}
}

// What an attempt costs: off is a worker without this package's middleware, unsampled
// a program whose sampler drops the trace.
func BenchmarkAttempt(b *testing.B) {
	handle := func(context.Context, *penstock.Job[json.RawMessage]) error { return nil }
	job := &penstock.Job[json.RawMessage]{Queue: "mail", Name: "n", TraceContext: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
	traced := func(sampler sdktrace.Sampler) penstock.HandlerFunc {
		provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))
		return penstockotel.New(penstockotel.Config{TracerProvider: provider}).Attempt(handle)
	}
	for name, handle := range map[string]penstock.HandlerFunc{
		"off": handle, "unsampled": traced(sdktrace.NeverSample()), "sampled": traced(sdktrace.AlwaysSample()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = handle(b.Context(), job)
			}
		})
	}
}
