// Package bull reads jobs as Bull and BullMQ write them, and says what they are as
// jobs of ours. It changes nothing: what it cannot translate is an error that names the
// field, or a note about what was left out.
package bull

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock"
)

// Job is an exported job, translated.
type Job struct {
	penstock.NewJob
	// Skip says why it is not to be enqueued; empty: it is.
	Skip string
	// Notes name what the job has that has no counterpart, such as a custom backoff.
	Notes []string
}

// Skips, as they are told to whoever imports.
const (
	Finished   = "already finished"
	Repeatable = "repeatable"
)

// exported is what job.toJSON() gives, or job.asJSON(), in which opts and data are
// text and so are numbers.
type exported struct {
	ID           text            `json:"id"`
	Name         string          `json:"name"`
	Data         json.RawMessage `json:"data"`
	Opts         json.RawMessage `json:"opts"`
	Timestamp    number          `json:"timestamp"`
	Delay        number          `json:"delay"`
	Priority     number          `json:"priority"`
	AttemptsMade number          `json:"attemptsMade"`
	FinishedOn   number          `json:"finishedOn"`
	QueueName    string          `json:"queueName"`
	Qualified    string          `json:"queueQualifiedName"` // bull:mail
	RepeatKey    string          `json:"repeatJobKey"`
	ParentKey    string          `json:"parentKey"`
}

type options struct {
	JobID    text            `json:"jobId"`
	Priority number          `json:"priority"`
	Delay    number          `json:"delay"`
	Attempts number          `json:"attempts"`
	Timeout  number          `json:"timeout"`
	Backoff  json.RawMessage `json:"backoff"`
	Repeat   json.RawMessage `json:"repeat"`
	Lifo     bool            `json:"lifo"`
	Parent   json.RawMessage `json:"parent"`
}

// Read translates one line. queue is where the job goes; empty: where the line says.
func Read(line []byte, queue string, now time.Time) (Job, error) {
	var e exported
	if err := decode(line, &e); err != nil {
		return Job{}, err
	}
	asText := len(e.Opts) > 0 && e.Opts[0] == '"'
	var o options
	if err := decode(unquoted(e.Opts, asText), &o); err != nil {
		return Job{}, fmt.Errorf("opts: %w", err)
	}
	job := Job{NewJob: penstock.NewJob{Queue: first(queue, e.QueueName, e.Qualified[strings.LastIndexByte(e.Qualified, ':')+1:]), Name: e.Name}}
	if job.Queue == "" {
		return job, errors.New("queueName: the line has none: name it with --queue")
	}
	if job.Name == "" || job.Name == "__default__" { // what Bull calls a job without a name
		job.Name = "default"
	}
	if e.FinishedOn > 0 {
		job.Skip = Finished
		return job, nil
	}
	if e.RepeatKey != "" || present(o.Repeat) {
		job.Skip = Repeatable
		return job, nil
	}
	id := first(string(e.ID), string(o.JobID))
	if id == "" {
		return job, errors.New("id: the line has none, and without it a repeated import would enqueue the job again")
	}
	job.IdempotencyKey = "bull:" + id
	if data := unquoted(e.Data, asText); present(data) {
		job.Data = json.RawMessage(data)
	}
	job.when(e, o, now)
	if err := job.priority(firstNumber(o.Priority, e.Priority)); err != nil {
		return job, err
	}
	if err := job.retries(e, o); err != nil {
		return job, err
	}
	if o.Timeout > 0 {
		job.Timeout = milliseconds(o.Timeout)
	}
	if o.Lifo {
		job.Notes = append(job.Notes, "lifo")
	}
	if e.ParentKey != "" || present(o.Parent) {
		job.Notes = append(job.Notes, "parent")
	}
	return job, nil
}

// when is the moment that a delayed job is due: its delay counts from its timestamp.
func (j *Job) when(e exported, o options, now time.Time) {
	delay := firstNumber(e.Delay, o.Delay)
	if delay <= 0 {
		return
	}
	from := now
	if e.Timestamp > 0 {
		from = time.UnixMilli(int64(e.Timestamp))
	}
	if due := from.Add(milliseconds(delay)).UTC(); due.After(now) {
		j.RunAt = due
	}
}

// priority turns Bull's scale around: there 1 goes first and 0 is none. 1 becomes 20,
// the weight of critical, 2 becomes 19, and 20 and beyond 1, so that the order among
// the first twenty is kept. One without is the queue's rules' to decide.
func (j *Job) priority(p number) error {
	switch {
	case p < 0 || p != number(math.Trunc(float64(p))):
		return fmt.Errorf("opts.priority: must be a whole number from 0, got %v", p)
	case p > 0:
		j.Priority = penstock.Weight(max(1, 21-int(min(p, 20))))
	}
	return nil
}

// retries are the attempts that are left, and the waits between them. Without a backoff
// of its own the queue's policy decides those.
func (j *Job) retries(e exported, o options) error {
	if o.Attempts > 0 {
		left := max(1, o.Attempts-max(0, e.AttemptsMade))
		if left > 100 || left != number(math.Trunc(float64(left))) {
			return fmt.Errorf("opts.attempts: must leave 1 to 100, got %v", left)
		}
		j.MaxAttempts = int(left)
	}
	if !present(o.Backoff) {
		return nil
	}
	var b struct {
		Type   string `json:"type"`
		Delay  number `json:"delay"`
		Jitter number `json:"jitter"`
	}
	if o.Backoff[0] == '{' {
		if err := decode(o.Backoff, &b); err != nil {
			return fmt.Errorf("opts.backoff: %w", err)
		}
	} else if err := json.Unmarshal(o.Backoff, &b.Delay); err != nil { // a plain number is fixed
		return fmt.Errorf("opts.backoff: must be milliseconds or an object, got %s", clip(o.Backoff))
	}
	strategy := &penstock.RetryStrategy{Delay: penstock.NoDelay, Jitter: new(float64)}
	*strategy.Jitter = float64(min(1, max(0, b.Jitter)))
	if b.Delay > 0 {
		strategy.Delay = milliseconds(b.Delay)
	}
	switch b.Type {
	case "", "fixed":
		strategy.Type = penstock.Fixed
	case "exponential":
		strategy.Type, strategy.Multiplier = penstock.Exponential, 2
	default:
		j.Notes = append(j.Notes, "backoff "+clip([]byte(b.Type)))
		return nil
	}
	j.Retry = strategy
	return nil
}

func decode(text []byte, into any) error {
	if len(text) == 0 {
		return nil
	}
	err := json.Unmarshal(text, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return fmt.Errorf("%s: must not be a %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("must be a job as JSON, got %s", clip(text))
	}
	return nil
}

// unquoted is a document that asJSON() wrote as text.
func unquoted(document json.RawMessage, asText bool) json.RawMessage {
	var inner string
	if asText && json.Unmarshal(document, &inner) == nil {
		return json.RawMessage(inner)
	}
	return document
}

func present(document json.RawMessage) bool {
	return len(document) > 0 && !bytes.Equal(document, []byte("null"))
}

func clip(text []byte) string { return strconv.Quote(string(text[:min(len(text), 40)])) }

func milliseconds(n number) time.Duration {
	return time.Duration(min(float64(n), math.MaxInt64/1e6-1) * float64(time.Millisecond))
}

func first(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}

func firstNumber(numbers ...number) number {
	for _, n := range numbers {
		if n != 0 {
			return n
		}
	}
	return 0
}

// number is a number, or one as text.
type number float64

func (n *number) UnmarshalJSON(given []byte) error {
	if bytes.Equal(given, []byte("null")) || bytes.Equal(given, []byte(`""`)) {
		return nil
	}
	value, err := strconv.ParseFloat(strings.Trim(string(given), `"`), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("must be a number, got %s", clip(given))
	}
	*n = number(value)
	return nil
}

// text is a text, or a number that stands for one.
type text string

func (t *text) UnmarshalJSON(given []byte) error {
	if bytes.Equal(given, []byte("null")) {
		return nil
	}
	var word string
	if given[0] != '"' {
		*t = text(given)
		return nil
	}
	if err := json.Unmarshal(given, &word); err != nil {
		return err
	}
	*t = text(word)
	return nil
}
