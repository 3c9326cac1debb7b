// Package penstockotel traces Penstock with OpenTelemetry. It needs the API alone;
// which exporter serves is the program's choice.
//
//	tracing := penstockotel.New(penstockotel.Config{})
//	client, err := penstock.NewClient(pool, penstock.Config{
//		Hooks:             tracing.Hooks(),
//		EnqueueMiddleware: []penstock.EnqueueMiddleware{tracing.Enqueue},
//	})
//	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
//		Middleware: []penstock.Middleware{tracing.Attempt},
//		…
//	})
//
// # Spans
//
//	span             kind      parent                    tells
//	enqueue QUEUE    producer  the caller's              one Enqueue or EnqueueMany; its context travels in the jobs
//	claim QUEUE      client    none, links to producers  a claim that brought jobs, or failed
//	attempt QUEUE    consumer  the producer, and a link  one run of a handler, whose context has it
//	finish QUEUE     client    the attempt               from the handler's end to Postgres's answer: what became of the job
//
// Names and attributes follow the semantic conventions for messaging (names.go). Those
// ask consumers for a link to the producer, and permit the producer as parent where a
// span handles a single message, as an attempt does. So by default a job's story, its
// retries included, is one trace; LinkOnly gives each attempt a trace of its own, for
// jobs that run long after they were enqueued, or where a trace's sampling should not
// decide about work that follows it.
//
// What travels is the W3C traceparent, in the job's TraceContext; a job that brings one
// keeps it. Tracestate and baggage stay behind. Workers in other languages read the
// same field.
//
// When Postgres does not answer, or a worker dies, finish is missing and nothing else;
// tracing never changes what happens to a job.
package penstockotel
