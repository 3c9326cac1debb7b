package policy_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestErrorClassesDecideWhetherAJobIsRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type lists struct{ queue, name string } // JSON of nonRetryable and retryable, of the row for q and for q/n
	for i, c := range []struct {
		name    string
		rows    lists
		classes string // outermost first
		state   string
		class   string // what is recorded
	}{
		{"an unknown class is retried", lists{}, "Oops", "retrying", "Oops"},
		{"a shipped class is final", lists{}, "ValidationError", "dead", "ValidationError"},
		{"so is one further in, and it is what is recorded", lists{}, "Wrapped Outer AuthenticationError", "dead", "AuthenticationError"},
		{"no class at all is an Error", lists{}, "", "retrying", "Error"},
		{"a pattern matches any text", lists{queue: `{"nonRetryable": ["*Denied"]}`}, "AccessDenied", "dead", "AccessDenied"},
		{"in the middle too", lists{queue: `{"nonRetryable": ["Http4*Error"]}`}, "Http404Error", "dead", "Http404Error"},
		{"and none", lists{queue: `{"nonRetryable": ["Http*Error"]}`}, "HttpError", "dead", "HttpError"},
		{"but all of the class", lists{queue: `{"nonRetryable": ["Http*Error"]}`}, "HttpErrors", "retrying", "HttpErrors"},
		{"a star alone is everything", lists{queue: `{"nonRetryable": ["*"]}`}, "Oops", "dead", "Oops"},
		{"a percent sign is itself", lists{queue: `{"nonRetryable": ["100%"]}`}, "100x", "retrying", "100x"},
		{"and matches itself", lists{queue: `{"nonRetryable": ["100%"]}`}, "100%", "dead", "100%"},
		{"an underscore is itself", lists{queue: `{"nonRetryable": ["bad_data"]}`}, "bad-data", "retrying", "bad-data"},
		{"and matches itself too", lists{queue: `{"nonRetryable": ["bad_data"]}`}, "bad_data", "dead", "bad_data"},
		{"a backslash is itself", lists{queue: `{"nonRetryable": ["App\\Error*"]}`}, `App\ErrorX`, "dead", `App\ErrorX`},
		{"and escapes nothing", lists{queue: `{"nonRetryable": ["App\\*"]}`}, `App*`, "retrying", `App*`},
		{"case counts", lists{}, "validationerror", "retrying", "validationerror"},
		{"retryable wins over non-retryable", lists{queue: `{"nonRetryable": ["*"], "retryable": ["Timeout*"]}`}, "TimeoutError", "retrying", "TimeoutError"},
		{"the outermost known class decides for retrying", lists{queue: `{"retryable": ["Flaky"]}`}, "Flaky ValidationError", "retrying", "Flaky"},
		{"and against it", lists{queue: `{"retryable": ["Flaky"]}`}, "ValidationError Flaky", "dead", "ValidationError"},
		{"a name's list replaces its queue's", lists{`{"nonRetryable": ["A"]}`, `{"nonRetryable": ["B"]}`}, "A", "retrying", "A"},
		{"a name without a list takes its queue's", lists{`{"nonRetryable": ["A"]}`, `{"delay": 1}`}, "A", "dead", "A"},
		{"an empty list is a list", lists{`{"nonRetryable": ["A"]}`, `{"nonRetryable": []}`}, "A", "retrying", "A"},
		{"the lists are looked up apart", lists{`{"nonRetryable": ["A*"]}`, `{"retryable": ["AB"]}`}, "AC", "dead", "AC"},
		{"and come together", lists{`{"nonRetryable": ["A*"]}`, `{"retryable": ["AB"]}`}, "AB", "retrying", "AB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			queue := fmt.Sprint("q", i)
			if c.rows.queue != "" {
				f.policy(t, queue, "*", c.rows.queue)
			}
			if c.rows.name != "" {
				f.policy(t, queue, "n", c.rows.name)
			}
			id := f.enqueue(t, penstock.NewJob{Queue: queue, Name: "n"})
			state, _ := f.failNext(t, queue, c.classes)
			require.Equal(t, c.state, state)
			require.Equal(t, c.class, one[string](t, f, `SELECT error_class FROM penstock.attempts WHERE job_id = $1`, id))
			if state == "dead" {
				require.Equal(t, "non_retryable false", one[string](t, f,
					`SELECT concat_ws(' ', reason, CASE WHEN can_retry THEN 'true' ELSE 'false' END) FROM penstock.dead_jobs WHERE job_id = $1`, id))
			}
		})
	}
}

// ValidationError is what a handler might call its own error.
type ValidationError struct{ field string }

func (e *ValidationError) Error() string { return e.field + " is missing" }

type named struct{ class string }

func (e named) Error() string      { return "something" }
func (e named) ErrorClass() string { return e.class }

func TestGoErrorsAreClassifiedByTypeAndByName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	failures := map[string]error{
		"type":    &ValidationError{"name"},
		"wrapped": fmt.Errorf("handle: %w", &ValidationError{"name"}),
		"named":   fmt.Errorf("handle: %w", named{"NotFoundError"}),
		"other":   named{"Busy"},
		"final":   penstock.Dead(named{"Busy"}),
	}
	f.work(t, "q", func(w *penstock.Worker) {
		penstock.Handle(w, "q", "n", func(_ context.Context, job *penstock.Job[string]) error { return failures[job.Data] })
	})
	for _, c := range []struct{ name, state, class string }{
		{"type", "dead", "ValidationError"},
		{"wrapped", "dead", "ValidationError"},
		{"named", "dead", "NotFoundError"},
		{"other", "retrying", "Busy"},
		{"final", "dead", "Busy"},
	} {
		id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Data: c.name})
		require.Equal(t, c.state, f.nextEnd(t).State, c.name)
		require.Equal(t, c.class, one[string](t, f, `SELECT error_class FROM penstock.attempts WHERE job_id = $1`, id), c.name)
	}
}
