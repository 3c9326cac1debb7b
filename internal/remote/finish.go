package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/bisect"
	"github.com/penstock/penstock/internal/pgerror"
	"github.com/penstock/penstock/internal/safetext"
	"github.com/penstock/penstock/internal/wait"
)

// End is how an attempt of a remote worker ends.
type End struct {
	Held
	Queue   string          `json:"queueName"`
	Outcome string          `json:"outcome"`          // completed, failed, dead, snoozed, released, cancelled
	Result  json.RawMessage `json:"result,omitempty"` // of a completed one; at most 1 MiB

	// Of a failed or dead one.
	ErrorClass string `json:"errorClass,omitempty"` // what the retry policy knows it by; empty: Error
	Error      string `json:"error,omitempty"`      // cut to 2,000 bytes
	Detail     string `json:"detail,omitempty"`     // cut to 16,000 bytes

	// Delay before the next run of a failed (nil: the retry policy's), snoozed or
	// released one; 0 to 366 days.
	Delay *penstock.Milliseconds `json:"delay,omitempty"`
}

// Ending is what became of an attempt.
type Ending struct {
	Held
	// Status is one of
	//	accepted      the attempt ended so
	//	already_done  it had ended so before: a repeat of a call whose reply was lost
	//	lease_lost    another worker has it, or it ended otherwise; nothing changed
	//	refused       Postgres does not take this result (see Message); the attempt still
	//	              runs and can be ended otherwise
	Status  string         `json:"status"`
	Outcome string         `json:"outcome,omitempty"` // as it is recorded
	State   penstock.State `json:"state,omitempty"`   // of the job now; absent unless accepted
	RunAt   *time.Time     `json:"runAt,omitempty"`   // when it runs next; absent: never
	Message string         `json:"message,omitempty"`
}

const (
	mostResult    = 1 << 20 // bytes
	mostDelay     = 366 * 24 * time.Hour
	finishTimeout = 30 * time.Second
)

var outcomes = []string{
	penstock.OutcomeCompleted, penstock.OutcomeFailed, penstock.OutcomeDead,
	penstock.OutcomeSnoozed, penstock.OutcomeReleased, penstock.OutcomeCancelled,
}

// Finish ends attempts, at most 1,000 at once, each by itself: one that is refused or
// whose lease is lost does not affect the others. It answers in the order given. A
// repeat is harmless (P8), also after the worker was declared dead. Errors:
// *penstock.ArgumentError, which names attempts.N.field; then nothing was changed.
func (w Worker) Finish(ctx context.Context, ends []End) ([]Ending, error) {
	if len(ends) > mostJobs {
		return nil, fmt.Errorf("finish attempts: %w", refuse("attempts", "at most 1000", len(ends)))
	}
	byQueue := map[string][]int{}
	var queues []string
	for i := range ends {
		if err := ends[i].check(i); err != nil {
			return nil, fmt.Errorf("finish attempts: %w", err)
		}
		if byQueue[ends[i].Queue] == nil {
			queues = append(queues, ends[i].Queue)
		}
		byQueue[ends[i].Queue] = append(byQueue[ends[i].Queue], i)
	}
	answers := make([]Ending, len(ends))
	for _, q := range queues {
		places := byQueue[q]
		// In the order of ids, as the functions lock them.
		slices.SortStableFunc(places, func(a, b int) int {
			return compareHeld(ends[a].Held, ends[b].Held)
		})
		if err := w.finish(ctx, q, ends, places, answers); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func compareHeld(a, b Held) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
}

func (e *End) check(i int) error {
	field := func(name string) string { return fmt.Sprintf("attempts.%d.%s", i, name) }
	switch {
	case !safetext.ValidName(e.Queue):
		return refuse(field("queueName"), "1 to 128 of letters, digits and . _ - : /", e.Queue)
	case !slices.Contains(outcomes, e.Outcome):
		return refuse(field("outcome"), "one of completed, failed, dead, snoozed, released, cancelled", e.Outcome)
	case e.Result != nil && e.Outcome != penstock.OutcomeCompleted:
		return refuse(field("result"), "left out unless the outcome is completed", safetext.Clip(string(e.Result), 40))
	case len(e.Result) > mostResult || e.Result != nil && !json.Valid(e.Result):
		return refuse(field("result"), "JSON of at most 1048576 bytes", safetext.Clip(string(e.Result), 40))
	case e.Delay != nil && (*e.Delay < 0 || time.Duration(*e.Delay) > mostDelay):
		return refuse(field("delay"), "0 to 366 days, in milliseconds", time.Duration(*e.Delay).Milliseconds())
	}
	return nil
}

// finish ends the attempts at places, which are all of one queue. What Postgres refuses
// for its content is refused alone.
func (w Worker) finish(ctx context.Context, queue string, ends []End, places []int, answers []Ending) error {
	err := bisect.Send(places, func(part []int) error {
		endings, err := w.sendPatiently(ctx, queue, ends, part)
		if err == nil {
			answer(ends, part, endings, answers)
		}
		return err
	}, func(err error) bool {
		return pgerror.AboutContent(err) && !pgerror.LockTimedOut(err) &&
			!errors.Is(translate("", err), penstock.ErrWorkerGone) // it is another owner's
	}, func(place int, err error) error {
		answers[place] = Ending{
			Held: ends[place].Held, Status: "refused", Message: translate("finish attempts", err).Error(),
		}
		return nil
	})
	if pgerror.LockTimedOut(err) {
		return fmt.Errorf("finish attempts: %w: a transaction holds one of them; repeat the call", penstock.ErrConflict)
	}
	return translate("finish attempts", err)
}

// sendPatiently sends up to four times while the failure may pass by itself.
func (w Worker) sendPatiently(ctx context.Context, queue string, ends []End, places []int) ([]db.Ending, error) {
	endings, err := w.send(ctx, queue, ends, places)
	for tries := 0; err != nil && tries < 3 && (pgerror.Passing(err) || pgerror.LockTimedOut(err)) && ctx.Err() == nil; tries++ {
		wait.For(ctx, wait.Jitter(20*time.Millisecond<<tries))
		endings, err = w.send(ctx, queue, ends, places)
	}
	return endings, err
}

// answer fills in what Postgres answered about the attempts at places.
func answer(ends []End, places []int, endings []db.Ending, answers []Ending) {
	found := make(map[Held]db.Ending, len(endings))
	for _, e := range endings {
		key := Held{e.JobID, int(e.Attempt)}
		if was, ok := found[key]; !ok || was.Status != "accepted" { // named twice: it ended once
			found[key] = e
		}
	}
	for _, i := range places {
		answers[i] = endingOf(ends[i].Held, found[Held{ends[i].ID, int(clampInt32(ends[i].Attempt))}])
	}
}

func endingOf(held Held, e db.Ending) Ending {
	ending := Ending{Held: held, Status: e.Status, Outcome: value(e.Outcome), State: penstock.State(value(e.State))}
	if e.RunAt != nil {
		at := e.RunAt.UTC()
		ending.RunAt = &at
	}
	if ending.Status == "" { // no attempt ever had this id
		ending.Status = "lease_lost"
	}
	return ending
}

func (w Worker) send(ctx context.Context, queue string, ends []End, places []int) ([]db.Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	start := time.Now()
	p := db.RemoteFinishParams{WorkerID: w.ID, Owner: w.owner, Queue: queue}
	plain := true
	for _, i := range places {
		e := &ends[i]
		p.JobIDs, p.Attempts = append(p.JobIDs, e.ID), append(p.Attempts, clampInt32(e.Attempt))
		p.Outcomes, p.ErrorClasses = append(p.Outcomes, e.Outcome), append(p.ErrorClasses, safetext.Clean(e.ErrorClass, 200))
		p.Messages, p.Details = append(p.Messages, safetext.Clean(e.Error, 2000)), append(p.Details, safetext.Clean(e.Detail, 16000))
		delay := -time.Second // the policy's, or none
		if e.Delay != nil {
			delay = time.Duration(*e.Delay)
		}
		p.Results, p.Delays = append(p.Results, e.Result), append(p.Delays, delay)
		plain = plain && e.Outcome == penstock.OutcomeCompleted && e.Result == nil
	}
	var endings []db.Ending
	var err error
	if plain {
		endings, err = w.engine.queries.RemoteFinishCompleted(ctx, db.RemoteFinishCompletedParams{
			WorkerID: w.ID, Owner: w.owner, Queue: queue, JobIDs: p.JobIDs, Attempts: p.Attempts,
		})
	} else {
		endings, err = w.engine.queries.RemoteFinish(ctx, p)
	}
	w.engine.hooks.Flushed(penstock.FlushEvent{Ends: len(places), Took: time.Since(start), Err: err})
	return endings, err
}
