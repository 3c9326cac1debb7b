package penstocktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock"
)

// End is how one attempt ended. Outcome is completed, failed, dead, snoozed,
// cancelled or released; State, from a database only, what became of the job:
// completed, retrying, waiting, dead or cancelled.
type End struct{ penstock.EndEvent }

// String is the end in one line, and a panic's stack below it.
func (e End) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s/%s job %d, attempt %d: %s", e.Queue, e.Name, e.JobID, e.Attempt, e.Outcome)
	if e.ErrorClass != "" {
		fmt.Fprintf(&s, " (%s: %s)", e.ErrorClass, e.Message)
	}
	if e.Delay > 0 {
		fmt.Fprintf(&s, ", again in %v", e.Delay)
	}
	if e.State != "" && e.State != e.Outcome {
		fmt.Fprintf(&s, ", now %s", e.State)
	}
	if e.Result != nil {
		fmt.Fprintf(&s, ", result %s", e.Result)
	}
	if detailed, ok := e.Err.(interface{ ErrorDetail() string }); ok {
		fmt.Fprintf(&s, "\n%s", detailed.ErrorDetail())
	}
	return s.String()
}

// Run calls a handler once on job as a worker would, without a database, and returns how
// it ended. Data goes through JSON, as it does from enqueue to handler: fields that
// JSON loses are lost here too. Zero fields of job take ID 1, Queue and Name "test",
// Attempt 1 + Failures + Crashes, Priority 5, Timeout 5 minutes.
//
// End.Delay is what Snooze, RetryIn or CustomRetry asked for; whether a plain failure
// is retried, and when, is the policy's and so a matter for RunOne. A ctx that ends
// with cause ErrCancelled or ErrShutdown plays a cancel or a shutdown. CompleteTx
// leaves the transaction as it is: test with RunOne that it commits.
// Run panics when Data cannot become JSON.
func Run[T any](ctx context.Context, handler func(ctx context.Context, job *penstock.Job[T]) error, job penstock.Job[T], opts ...penstock.HandleOption) End {
	defaults(&job.ID, 1)
	defaults(&job.Queue, "test")
	defaults(&job.Name, "test")
	defaults(&job.Attempt, 1+job.Failures+job.Crashes)
	defaults(&job.Priority, 5)
	event, err := penstock.Try(ctx, handler, job, opts...)
	if err != nil {
		panic(fmt.Sprintf("penstocktest: Run: %v", err))
	}
	return End{event}
}

func defaults[T comparable](field *T, v T) {
	if *field == *new(T) {
		*field = v
	}
}

// RunOne runs the next due job of the worker's queues, through the worker's handlers
// and middleware, records how it ended, and returns it. The test fails when no job is due,
// with why, and when no handler takes the job's name. REQUIRES: w does not run.
func RunOne(t testing.TB, w *penstock.Worker) End {
	t.Helper()
	ends := runDue(t, w, 1)
	if len(ends) == 0 {
		t.Fatalf("penstocktest: no job is due in %s\n%s", strings.Join(w.Queues(), ", "), idle(t.Context(), w))
	}
	return ends[0]
}

// Drain runs due jobs of the worker's queues, and those they enqueue, one after
// another until none is due, and returns how each attempt ended, in order. Jobs that
// wait for their time, such as retries, stay: see FastForward. The test fails when no
// handler takes a job's name, and past 1,000 attempts.
func Drain(t testing.TB, w *penstock.Worker) []End {
	t.Helper()
	ends := runDue(t, w, mostAttempts+1)
	tooMany(t, ends)
	return ends
}

// FastForward drains and then lets time pass for what waits: again and again the job
// that would start next, by its retry, snooze or delay, is made due and run, until
// nothing is left in the worker's queues. Clocks stand still: it is RunNow that moves
// each job. So a job ends here as it will in production, dead included.
func FastForward(t testing.TB, w *penstock.Worker) []End {
	t.Helper()
	ends := Drain(t, w)
	for {
		next := soonest(t, w)
		if next == nil {
			return ends
		}
		if _, err := w.Client().RunNow(t.Context(), next.ID); err != nil {
			t.Fatalf("penstocktest: %v", err)
		}
		more := runDue(t, w, mostAttempts+1-len(ends))
		if len(more) == 0 {
			t.Fatalf("penstocktest: a job that is due cannot run\n%s", idle(t.Context(), w))
		}
		ends = append(ends, more...)
		tooMany(t, ends)
	}
}

// mostAttempts is where a test is taken to go round in circles.
const mostAttempts = 1000

func tooMany(t testing.TB, ends []End) {
	t.Helper()
	if len(ends) > mostAttempts {
		t.Fatalf("penstocktest: more than %d attempts: does a job enqueue or snooze itself for ever? The last:\n    %v",
			mostAttempts, ends[len(ends)-1])
	}
}

func runDue(t testing.TB, w *penstock.Worker, most int) []End {
	t.Helper()
	events, err := w.RunDue(t.Context(), most)
	if err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	ends := make([]End, len(events))
	for i, event := range events {
		ends[i] = End{event}
		if event.Outcome == "released" && event.Err == nil {
			t.Fatalf("penstocktest: the worker has no handler for %s/%s: register one with penstock.Handle", event.Queue, event.Name)
		}
	}
	return ends
}

// soonest is the job of the worker's queues that would start next; nil: none waits.
func soonest(t testing.TB, w *penstock.Worker) *penstock.JobInfo {
	t.Helper()
	var next *penstock.JobInfo
	for _, queue := range w.Queues() {
		for _, state := range []penstock.State{penstock.Scheduled, penstock.Retrying, penstock.Waiting} {
			for cursor := ""; ; {
				page, err := w.Client().Jobs(t.Context(), penstock.JobQuery{
					Filter: penstock.JobFilter{Queue: queue, State: state}, Limit: 500, Cursor: cursor,
				})
				if err != nil {
					t.Fatalf("penstocktest: %v", err)
				}
				for _, job := range page.Items {
					if next == nil || job.RunAt.Before(next.RunAt) || job.RunAt.Equal(next.RunAt) && job.ID < next.ID {
						next = &job
					}
				}
				if cursor = page.Next; cursor == "" {
					break
				}
			}
		}
	}
	return next
}

// idle explains why the newest jobs of the worker's queues do not run.
func idle(ctx context.Context, w *penstock.Worker) string {
	var lines []string
	for _, queue := range w.Queues() {
		page, err := w.Client().Jobs(ctx, penstock.JobQuery{Filter: penstock.JobFilter{Queue: queue}, Limit: 5})
		if err != nil {
			return err.Error()
		}
		if len(page.Items) == 0 {
			lines = append(lines, "    "+queue+" has never had a job")
		}
		for _, job := range slices.Backward(page.Items) {
			line := fmt.Sprintf("    %s/%s job %d is %s", job.Queue, job.Name, job.ID, job.State)
			if e, err := w.Client().Explain(ctx, job.ID); err == nil && len(e.Reasons) > 0 {
				line += ": " + e.Reasons[0].Message
			}
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
