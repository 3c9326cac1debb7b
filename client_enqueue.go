package penstock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/safetext"
)

// Priority is a weight 1–100, higher first, or a level's name. The levels are
// rows (penstock.priority_levels); these are the shipped ones.
type Priority string

// The shipped levels: weights 1, 5, 10 and 20.
const (
	Low      Priority = "low"
	Normal   Priority = "normal"
	High     Priority = "high"
	Critical Priority = "critical"
)

// Weight is an explicit priority of 1–100.
func Weight(w int) Priority { return Priority(strconv.Itoa(w)) }

// UnmarshalJSON reads a level's name, a weight, or an object with a weight or else
// a level, as penstock.priority_weight does. Which levels there are the database knows.
func (p *Priority) UnmarshalJSON(text []byte) error {
	var given struct {
		Level  string `json:"level"`
		Weight *int   `json:"weight"`
	}
	var err error
	switch text[0] {
	case '{':
		err = json.Unmarshal(text, &given)
	case '"':
		err = json.Unmarshal(text, &given.Level)
	default:
		err = json.Unmarshal(text, &given.Weight)
	}
	switch {
	case err != nil:
		return refuse("priority", "a weight from 1 to 100, a level's name, or an object with one of them", string(text))
	case given.Weight != nil:
		*p = Weight(*given.Weight)
	default:
		*p = Priority(given.Level)
	}
	return nil
}

// NewJob is a job to enqueue. Only Queue and Name are needed.
type NewJob struct {
	Queue string // 1–128 of letters, digits and . _ - : /
	Name  string // which handler runs it; as Queue

	// Data is marshalled by encoding/json, a json.RawMessage goes as it is, nil is
	// {}. At most 1 MiB, and no \u0000.
	Data any

	Priority       Priority       // empty: the queue's rules, tags and default decide
	Delay          time.Duration  // wait this long; excludes RunAt
	RunAt          time.Time      // zero, or in the past by the database's clock: now
	Retry          *RetryStrategy // nil, and zero fields: the queue's retry policy
	MaxAttempts    int            // runs, 1–100; 0: the retry policy's
	Timeout        time.Duration  // of one attempt; 0: the worker's for the queue
	ExpiresIn      time.Duration  // ends as expired if not started by then; 0: never
	Tags           []string       // at most 32, each as Queue
	IdempotencyKey string         // 1–256 characters; see P7 in the package's promises
	TraceContext   string         // W3C traceparent, up to 1024 characters

	// SkipNotify leaves out the wake-up of a sleeping worker, which then finds the
	// job within a second: for transactions that end in PREPARE TRANSACTION.
	SkipNotify bool
}

const (
	maxData  = 1 << 20
	maxBatch = 10_000 // of one penstock.enqueue_many
)

// row is a job in the shape penstock.enqueue_many takes.
type row struct {
	queue, name string
	data        json.RawMessage
	options     json.RawMessage // nil when there are none
	repeatable  bool            // has an idempotency key
	notify      bool
}

// options are the keys read_options in migrations/ knows.
type options struct {
	Priority       Priority       `json:"priority,omitempty"`
	Delay          *float64       `json:"delay,omitempty"`
	RunAt          *time.Time     `json:"runAt,omitempty"`
	Retry          *RetryStrategy `json:"retryStrategy,omitempty"`
	MaxAttempts    int            `json:"maxAttempts,omitempty"`
	Timeout        *float64       `json:"timeout,omitempty"`
	ExpiresIn      *float64       `json:"expiresIn,omitempty"`
	Tags           []string       `json:"tags,omitempty"`
	IdempotencyKey string         `json:"idempotencyKey,omitempty"`
	TraceContext   string         `json:"traceContext,omitempty"`
}

// row checks what would spoil a shared statement and leaves the rest to the
// database, which checks every caller alike.
func (j *NewJob) row() (row, error) {
	r := row{queue: j.Queue, name: j.Name, repeatable: j.IdempotencyKey != "", notify: !j.SkipNotify}
	if !safetext.ValidName(j.Queue) {
		return r, refuse("queue", "1 to 128 of letters, digits and . _ - : /", strconv.Quote(j.Queue))
	}
	if !safetext.ValidName(j.Name) {
		return r, refuse("name", "1 to 128 of letters, digits and . _ - : /", strconv.Quote(j.Name))
	}
	var err error
	if r.data, err = encodeData(j.Data); err != nil || j.plain() {
		return r, err
	}
	o := options{
		j.Priority, milliseconds(j.Delay), nil, j.Retry, j.MaxAttempts, milliseconds(j.Timeout),
		milliseconds(j.ExpiresIn), j.Tags, j.IdempotencyKey, j.TraceContext,
	}
	if !j.RunAt.IsZero() {
		o.RunAt = &j.RunAt
	}
	if r.options, err = json.Marshal(o); err != nil {
		return r, refuse("retry", "finite numbers", err)
	}
	if string(r.options) == "{}" {
		r.options = nil
	}
	return r, nil
}

// plain reports whether the job asks for nothing but its queue, name and data.
func (j *NewJob) plain() bool {
	return j.Priority == "" && j.Delay == 0 && j.RunAt.IsZero() && j.Retry == nil && j.MaxAttempts == 0 && j.Timeout == 0 &&
		j.ExpiresIn == 0 && len(j.Tags) == 0 && j.IdempotencyKey == "" && j.TraceContext == ""
}

// encodeData is what data becomes in the database, checked as far as one bad
// job could spoil the statement it shares with others.
func encodeData(data any) (json.RawMessage, error) {
	switch raw := data.(type) {
	case nil:
		return json.RawMessage("{}"), nil
	case json.RawMessage:
		if !json.Valid(raw) {
			return nil, refuse("data", "JSON", strconv.Quote(safetext.Clip(string(raw), 60)))
		}
		return raw, checkData(raw)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, &ArgumentError{Argument: "data", Message: fmt.Sprintf("data must be JSON: %v", err)}
	}
	return raw, checkData(raw)
}

func checkData(raw json.RawMessage) error {
	if len(raw) > maxData {
		return refuse("data", "JSON of at most 1048576 bytes", fmt.Sprintf("%d bytes", len(raw)))
	}
	if safetext.HoldsNUL(raw) {
		return refuse("data", `free of \u0000, which Postgres cannot store`, "one")
	}
	return nil
}

// Enqueue adds one job and returns its id. On a plain client it returns after
// the commit, which concurrent calls share; in a transaction (InTx) the job
// exists if and only if that commits (P2).
// Errors: *ArgumentError; ErrOutcomeUnknown when the connection broke before the
// reply and there is no idempotency key; ctx's, after which the job may exist.
func (c *Client) Enqueue(ctx context.Context, job NewJob) (int64, error) {
	if len(c.middleware) > 0 {
		return c.enqueueThrough(ctx, job)
	}
	return c.enqueueOne(ctx, &job)
}

func (c *Client) enqueueOne(ctx context.Context, job *NewJob) (int64, error) {
	r, err := job.row()
	if err != nil {
		return 0, err
	}
	var id int64
	switch {
	case c.group == nil:
		var ids []int64
		if ids, err = c.enqueueRows(ctx, []row{r}); err == nil {
			id = ids[0]
		}
	case r.repeatable:
		id, err = c.keyed.enqueue(ctx, r)
	default:
		id, err = c.group.enqueue(ctx, r)
	}
	if refused, ok := errors.AsType[*ArgumentError](err); ok {
		refused.Job = 0 // its caller knows of no batch
	}
	return id, err
}

// EnqueueMany adds jobs of any queues, all or none, and returns their ids in
// order. Its errors are those of Enqueue, naming the job by its place.
func (c *Client) EnqueueMany(ctx context.Context, jobs []NewJob) ([]int64, error) {
	if len(c.middleware) > 0 {
		return c.through(c.enqueueMany)(ctx, jobs)
	}
	return c.enqueueMany(ctx, jobs)
}

func (c *Client) enqueueMany(ctx context.Context, jobs []NewJob) ([]int64, error) {
	rows := make([]row, len(jobs))
	for i := range jobs {
		var err error
		if rows[i], err = jobs[i].row(); err != nil {
			if refused, ok := errors.AsType[*ArgumentError](err); ok {
				refused.Job = i + 1
			}
			return nil, fmt.Errorf("job %d of %d: %w", i+1, len(jobs), err)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	ids, err := c.enqueueRows(ctx, rows)
	if c.pool != nil && replyLost(err) {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return ids, err
}

// enqueueRows sends rows as one call per queue in one implicit transaction.
func (c *Client) enqueueRows(ctx context.Context, rows []row) ([]int64, error) {
	calls, places := groupRows(rows)
	ids := make([]int64, len(rows))
	var failed error
	var failedCall int
	start := time.Now()
	closed := c.queries.EnqueueGroups(ctx, calls).Each(func(n int, got []int64, err error) {
		if err != nil {
			if failed == nil {
				failed, failedCall = err, n
			}
			return
		}
		for i, place := range places[n] {
			ids[place] = got[i]
		}
	})
	if failed == nil {
		failed = closed
	}
	failed = translate("enqueue", failed)
	if refused, ok := errors.AsType[*ArgumentError](failed); ok && refused.Job > 0 { // of its call; the caller counts all
		refused.Job = places[failedCall][refused.Job-1] + 1
	}
	took := time.Since(start)
	for _, call := range calls {
		c.hooks.Enqueued(EnqueueEvent{call.Queue, len(call.Names), took, c.pool == nil, failed})
	}
	if failed != nil {
		return nil, failed
	}
	if c.pool != nil { // committed: fetchers of this process need not wait for a notification
		for _, call := range calls {
			c.wakeups.wake(call.Queue)
		}
	}
	return ids, nil
}

// groupRows makes one call for each queue and value of notify, of at most maxBatch
// rows. places has, for each call, the row of each of its jobs.
func groupRows(rows []row) (calls []db.EnqueueGroupsParams, places [][]int) {
	type kind struct {
		queue  string
		notify bool
	}
	open := map[kind]int{}
	for i, r := range rows {
		k := kind{r.queue, r.notify}
		n, ok := open[k]
		if !ok || len(places[n]) == maxBatch {
			n = len(calls)
			open[k] = n
			calls = append(calls, db.EnqueueGroupsParams{Queue: r.queue, Notify: r.notify})
			places = append(places, nil)
		}
		call := &calls[n]
		call.Names, call.Data = append(call.Names, r.name), append(call.Data, r.data)
		if r.options != nil && call.Options == nil {
			call.Options = make([]json.RawMessage, len(places[n]), len(rows))
		}
		if call.Options != nil {
			call.Options = append(call.Options, r.options)
		}
		places[n] = append(places[n], i)
	}
	return calls, places
}
