package penstockotel

import (
	"context"
	"encoding/json"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock/penstock"
)

// Config sets up Tracing. The zero value works.
type Config struct {
	TracerProvider trace.TracerProvider // nil: OpenTelemetry's global one

	// LinkOnly gives each attempt a trace of its own, which links to the producer's.
	LinkOnly bool
}

// Tracing makes spans of what clients and workers do. It is safe for concurrent use.
type Tracing struct {
	tracer   trace.Tracer
	linkOnly bool
}

// New makes a Tracing; hand its parts to clients and workers (see the package's text).
func New(cfg Config) *Tracing {
	provider := cfg.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Tracing{provider.Tracer(scope), cfg.LinkOnly}
}

// Hooks trace claims and the ends of attempts.
func (t *Tracing) Hooks() penstock.Hooks {
	return penstock.Hooks{Claimed: t.claimed, Ended: t.ended}
}

// Enqueue is enqueue middleware: one span for the jobs, whose context they carry.
func (t *Tracing) Enqueue(next penstock.EnqueueFunc) penstock.EnqueueFunc {
	return func(ctx context.Context, jobs []penstock.NewJob) ([]int64, error) {
		name, attributes := enqueue.span(sharedQueue(jobs))
		if len(jobs) == 1 {
			attributes = append(attributes, jobName.String(jobs[0].Name))
		} else {
			attributes = append(attributes, batch(len(jobs)))
		}
		ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(enqueue.kind), trace.WithAttributes(attributes...))
		defer span.End()
		if parent := inject(ctx); parent != "" {
			for i := range jobs {
				if jobs[i].TraceContext == "" {
					jobs[i].TraceContext = parent
				}
			}
		}
		ids, err := next(ctx, jobs)
		switch {
		case err != nil:
			fail(span, err)
		case len(ids) == 1:
			span.SetAttributes(jobID(ids[0]))
		}
		return ids, err
	}
}

// sharedQueue is the queue of all jobs, "" if they are of several.
func sharedQueue(jobs []penstock.NewJob) string {
	if len(jobs) == 0 {
		return ""
	}
	for _, j := range jobs[1:] {
		if j.Queue != jobs[0].Queue {
			return ""
		}
	}
	return jobs[0].Queue
}

// mostLinks is how many producers a claim's span links to; a trace is no list of jobs.
const mostLinks = 100

// claimed records claims that brought something or failed: there are hundreds a
// second that do neither.
func (t *Tracing) claimed(e penstock.ClaimEvent) {
	if e.Jobs == 0 && e.Err == nil {
		return
	}
	end := time.Now()
	name, attributes := claim.span(e.Queue)
	_, span := t.tracer.Start(context.Background(), name,
		trace.WithSpanKind(claim.kind), trace.WithTimestamp(end.Add(-e.Took)),
		trace.WithAttributes(append(attributes, batch(e.Jobs))...), trace.WithLinks(producers(e)...))
	if e.Err != nil {
		fail(span, e.Err)
	}
	span.End(trace.WithTimestamp(end))
}

// producers are links to the claimed jobs' producers, each once.
func producers(e penstock.ClaimEvent) []trace.Link {
	var links []trace.Link
	seen := map[string]bool{}
	for _, text := range e.TraceContexts {
		if len(links) == mostLinks {
			break
		}
		if producer := extract(text); !seen[text] && producer.IsValid() {
			seen[text] = true
			links = append(links, trace.Link{SpanContext: producer})
		}
	}
	return links
}

// Attempt is worker middleware: the span that the handler runs in.
func (t *Tracing) Attempt(next penstock.HandlerFunc) penstock.HandlerFunc {
	return func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
		name, attributes := attempt.span(job.Queue)
		options := []trace.SpanStartOption{trace.WithSpanKind(attempt.kind), trace.WithAttributes(append(attributes,
			jobID(job.ID), jobName.String(job.Name), jobAttempt.Int(job.Attempt), jobFailures.Int(job.Failures))...)}
		producer := extract(job.TraceContext)
		if producer.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: producer}))
		}
		if producer.IsValid() && !t.linkOnly {
			ctx = trace.ContextWithRemoteSpanContext(ctx, producer)
		} else {
			options = append(options, trace.WithNewRoot()) // whatever span the worker was started in
		}
		ctx, span := t.tracer.Start(ctx, name, options...)
		ctx = context.WithValue(ctx, attemptKey{}, span)
		returned := false
		defer func() {
			if !returned { // a panic, whose message is with the attempt
				span.SetAttributes(panicked)
				span.SetStatus(codes.Error, "the handler panicked")
			}
			span.End()
		}()
		err := next(ctx, job)
		returned = true
		if _, snoozed := penstock.Snoozed(err); err != nil && !snoozed {
			fail(span, err)
		}
		return err
	}
}

// attemptKey is where the attempt's span is in the context that hooks are shown: the
// handler's own spans may lie over it.
type attemptKey struct{}

// ended records what became of a job whose attempt has a span.
func (t *Tracing) ended(e penstock.EndEvent) {
	if e.Context == nil {
		return // it ran in another process
	}
	parent, ok := e.Context.Value(attemptKey{}).(trace.Span)
	if !ok {
		return // no handler ran
	}
	name, attributes := finish.span(e.Queue)
	attributes = append(attributes, jobID(e.JobID), jobAttempt.Int(e.Attempt), outcome.String(e.Outcome))
	if e.State != "" {
		attributes = append(attributes, jobState.String(e.State))
	}
	if !e.RunAt.IsZero() {
		attributes = append(attributes, jobRunAt.String(e.RunAt.Format(time.RFC3339Nano)))
	}
	_, span := t.tracer.Start(trace.ContextWithSpan(context.Background(), parent), name, trace.WithSpanKind(finish.kind),
		trace.WithTimestamp(e.EndedAt), trace.WithAttributes(attributes...))
	switch {
	case e.LeaseLost:
		fail(span, penstock.ErrLeaseLost)
	case e.State == string(penstock.DeadState):
		span.SetStatus(codes.Error, "the job is dead")
	}
	span.End()
}

// fail marks a span as failed with err.
func fail(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	span.RecordError(err)
	span.SetAttributes(errorType(err))
	span.SetStatus(codes.Error, err.Error())
}

var w3c propagation.TraceContext

const traceparent = "traceparent"

// inject is the W3C traceparent of ctx's span, "" without one.
func inject(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier[traceparent]
}

// extract is the span that a job's trace context names; not valid if it names none.
func extract(text string) trace.SpanContext {
	if text == "" {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(w3c.Extract(context.Background(), propagation.MapCarrier{traceparent: text}))
}
