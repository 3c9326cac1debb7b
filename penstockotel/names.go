package penstockotel

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock/penstock"
)

// scope is the instrumentation's name.
const scope = "github.com/penstock/penstock/penstockotel"

// operation is one of the four things that have spans: Penstock's word for it, and
// the messaging conventions' type and kind.
type operation struct {
	name string
	kind trace.SpanKind
	typ  attribute.KeyValue
}

var (
	enqueue = operation{"enqueue", trace.SpanKindProducer, semconv.MessagingOperationTypeSend}
	claim   = operation{"claim", trace.SpanKindClient, semconv.MessagingOperationTypeReceive}
	attempt = operation{"attempt", trace.SpanKindConsumer, semconv.MessagingOperationTypeProcess}
	finish  = operation{"finish", trace.SpanKindClient, semconv.MessagingOperationTypeSettle}
)

// span is the operation's name and first attributes on a queue; "" is several queues.
func (o operation) span(queue string) (name string, attributes []attribute.KeyValue) {
	attributes = make([]attribute.KeyValue, 3, 8)
	attributes[0] = semconv.MessagingSystemKey.String("penstock")
	attributes[1] = semconv.MessagingOperationName(o.name)
	attributes[2] = o.typ
	if queue == "" {
		return o.name, attributes
	}
	return o.name + " " + queue, append(attributes, semconv.MessagingDestinationName(queue))
}

// What the conventions have no word for.
const (
	jobName     = attribute.Key("penstock.job.name")
	jobAttempt  = attribute.Key("penstock.job.attempt")
	jobFailures = attribute.Key("penstock.job.failures")
	jobState    = attribute.Key("penstock.job.state")
	jobRunAt    = attribute.Key("penstock.job.run_at")
	outcome     = attribute.Key("penstock.attempt.outcome")
)

func jobID(id int64) attribute.KeyValue {
	return semconv.MessagingMessageID(strconv.FormatInt(id, 10))
}

func batch(jobs int) attribute.KeyValue { return semconv.MessagingBatchMessageCount(jobs) }

// panicked is the class of an attempt whose handler panicked.
var panicked = semconv.ErrorTypeKey.String("Panic")

// errorType is the class an error is recorded under, as in the attempts' rows.
func errorType(err error) attribute.KeyValue {
	return semconv.ErrorTypeKey.String(penstock.ErrorClass(err))
}
