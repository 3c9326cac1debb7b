package penstock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock/penstock/db"
)

// RemoteEnd is how an attempt of a remote worker ends.
type RemoteEnd struct {
	HeldAttempt
	Queue   string          `json:"queueName"`
	Outcome string          `json:"outcome"`          // completed, failed, dead, snoozed, released, cancelled
	Result  json.RawMessage `json:"result,omitempty"` // of a completed one; at most 1 MiB

	// Of a failed or dead one.
	ErrorClass string `json:"errorClass,omitempty"` // what the retry policy knows it by; empty: Error
	Error      string `json:"error,omitempty"`      // clipped to 2,000 bytes
	Detail     string `json:"detail,omitempty"`     // clipped to 16,000 bytes

	// Delay before the next run of a failed (nil: the retry policy's), snoozed or
	// released one; 0 to 366 days.
	Delay *Milliseconds `json:"delay,omitempty"`
}

// RemoteEnding is what became of an attempt.
type RemoteEnding struct {
	HeldAttempt
	// Status is accepted; already_done: it had ended so before (a repeat of a call
	// whose reply was lost); lease_lost: it is another's or ended otherwise, and nothing
	// changed; refused: Postgres does not take this result (Message says why), the
	// attempt runs on and can be ended otherwise.
	Status  string     `json:"status"`
	Outcome string     `json:"outcome,omitempty"` // as it is recorded
	State   State      `json:"state,omitempty"`   // of the job now; absent unless accepted
	RunAt   *time.Time `json:"runAt,omitempty"`   // when it runs next; absent: never
	Message string     `json:"message,omitempty"`
}

var remoteOutcomes = []string{
	outcomeCompleted, outcomeFailed, outcomeDead, outcomeSnoozed, outcomeReleased, outcomeCancelled,
}

// Finish ends attempts, at most 1,000 at once, each by itself: one that is refused or
// whose lease is lost does not hold up the others. It answers in the order given. A
// repeat is harmless (P8), also after the worker's burial. Errors: *ArgumentError,
// which names attempts.N.field and changes nothing.
func (w RemoteWorker) Finish(ctx context.Context, ends []RemoteEnd) ([]RemoteEnding, error) {
	if len(ends) > maxRemote {
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
	answers := make([]RemoteEnding, len(ends))
	for _, q := range queues {
		places := byQueue[q]
		// In the order of ids, as the functions lock them.
		slices.SortStableFunc(places, func(a, b int) int {
			return compareHeld(ends[a].HeldAttempt, ends[b].HeldAttempt)
		})
		if err := w.finish(ctx, q, ends, places, answers); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func compareHeld(a, b HeldAttempt) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
}

func (e *RemoteEnd) check(i int) error {
	field := func(name string) string { return fmt.Sprintf("attempts.%d.%s", i, name) }
	switch {
	case !validName(e.Queue):
		return refuse(field("queueName"), "1 to 128 of letters, digits and . _ - : /", e.Queue)
	case !slices.Contains(remoteOutcomes, e.Outcome):
		return refuse(field("outcome"), "one of completed, failed, dead, snoozed, released, cancelled", e.Outcome)
	case e.Result != nil && e.Outcome != outcomeCompleted:
		return refuse(field("result"), "left out unless the outcome is completed", clip(string(e.Result), 40))
	case len(e.Result) > maxData || e.Result != nil && !json.Valid(e.Result):
		return refuse(field("result"), "JSON of at most 1048576 bytes", clip(string(e.Result), 40))
	case e.Delay != nil && (*e.Delay < 0 || time.Duration(*e.Delay) > mostDelay):
		return refuse(field("delay"), "0 to 366 days, in milliseconds", time.Duration(*e.Delay).Milliseconds())
	}
	return nil
}

// finish ends the attempts at places, all of one queue, and halves what Postgres
// refuses until the bad one is alone.
func (w RemoteWorker) finish(ctx context.Context, queue string, ends []RemoteEnd, places []int, answers []RemoteEnding) error {
	endings, err := w.send(ctx, queue, ends, places)
	for tries := 0; err != nil && tries < 3 && (passing(err) || lockTimedOut(err)) && ctx.Err() == nil; tries++ {
		pause(ctx, jitter(20*time.Millisecond<<tries))
		endings, err = w.send(ctx, queue, ends, places)
	}
	switch {
	case err == nil:
	case errors.Is(translate("finish attempts", err), ErrWorkerGone): // it is another owner's
		return translate("finish attempts", err)
	case aboutContent(err) && !lockTimedOut(err) && len(places) > 1:
		half := len(places) / 2
		if err := w.finish(ctx, queue, ends, places[:half], answers); err != nil {
			return err
		}
		return w.finish(ctx, queue, ends, places[half:], answers)
	case aboutContent(err) && !lockTimedOut(err):
		answers[places[0]] = RemoteEnding{
			HeldAttempt: ends[places[0]].HeldAttempt, Status: "refused", Message: translate("finish attempts", err).Error(),
		}
		return nil
	case lockTimedOut(err):
		return fmt.Errorf("finish attempts: %w: a transaction holds one of them; repeat the call", ErrConflict)
	default:
		return translate("finish attempts", err)
	}
	found := make(map[HeldAttempt]db.Ending, len(endings))
	for _, e := range endings {
		key := HeldAttempt{e.JobID, int(e.Attempt)}
		if was, ok := found[key]; !ok || was.Status != "accepted" { // named twice: it ended once
			found[key] = e
		}
	}
	for _, i := range places {
		answers[i] = remoteEnding(ends[i].HeldAttempt, found[HeldAttempt{ends[i].ID, int(clampInt32(ends[i].Attempt))}])
	}
	return nil
}

func remoteEnding(held HeldAttempt, e db.Ending) RemoteEnding {
	ending := RemoteEnding{HeldAttempt: held, Status: e.Status, Outcome: value(e.Outcome), State: State(value(e.State)), RunAt: utc(e.RunAt)}
	if ending.Status == "" { // an id that no attempt ever had
		ending.Status = "lease_lost"
	}
	return ending
}

func (w RemoteWorker) send(ctx context.Context, queue string, ends []RemoteEnd, places []int) ([]db.Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	start := time.Now()
	p := db.RemoteFinishParams{WorkerID: w.ID, Owner: w.owner, Queue: queue}
	plain := true
	for _, i := range places {
		e := &ends[i]
		p.JobIDs, p.Attempts = append(p.JobIDs, e.ID), append(p.Attempts, clampInt32(e.Attempt))
		p.Outcomes, p.ErrorClasses = append(p.Outcomes, e.Outcome), append(p.ErrorClasses, cleanText(e.ErrorClass, 200))
		p.Messages, p.Details = append(p.Messages, cleanText(e.Error, 2000)), append(p.Details, cleanText(e.Detail, 16000))
		delay := -time.Second // the policy's, or none
		if e.Delay != nil {
			delay = time.Duration(*e.Delay)
		}
		p.Results, p.Delays = append(p.Results, e.Result), append(p.Delays, delay)
		plain = plain && e.Outcome == outcomeCompleted && e.Result == nil
	}
	var endings []db.Ending
	var err error
	if plain {
		endings, err = w.remote.client.queries.RemoteFinishCompleted(ctx, db.RemoteFinishCompletedParams{
			WorkerID: w.ID, Owner: w.owner, Queue: queue, JobIDs: p.JobIDs, Attempts: p.Attempts,
		})
	} else {
		endings, err = w.remote.client.queries.RemoteFinish(ctx, p)
	}
	w.remote.client.hooks.Flushed(FlushEvent{len(places), time.Since(start), err})
	return endings, err
}
