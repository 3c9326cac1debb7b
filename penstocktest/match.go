package penstocktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// matcher is a Want made ready to compare.
type matcher struct {
	Want
	data   any // decoded JSON; nil: any
	weight int // of Priority; 0: any
}

func (w Want) matcher() (*matcher, error) {
	m := &matcher{Want: w}
	if w.Data == nil {
		return m, nil
	}
	text, err := json.Marshal(w.Data)
	if err == nil {
		m.data, err = decode(text)
	}
	if err != nil {
		return nil, fmt.Errorf("Want.Data must be JSON: %w", err)
	}
	return m, nil
}

// decode reads JSON and keeps numbers as they are written.
func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// differs says how a job is not the one wanted, or nothing when it is.
func (m *matcher) differs(job *Job) string {
	delay := job.RunAt.Sub(job.EnqueuedAt)
	switch {
	case m.Queue != "" && job.Queue != m.Queue:
		return "queue"
	case m.Name != "" && job.Name != m.Name:
		return "name"
	case m.weight != 0 && job.Priority != m.weight:
		return fmt.Sprintf("priority: not %d", m.weight)
	case m.IdempotencyKey != "" && job.IdempotencyKey != m.IdempotencyKey:
		return fmt.Sprintf("idempotency key: %q", job.IdempotencyKey)
	case m.MinDelay != 0 && delay < m.MinDelay, m.MaxDelay != 0 && delay > m.MaxDelay:
		return fmt.Sprintf("delay: %v", delay)
	case !m.RunFrom.IsZero() && job.RunAt.Before(m.RunFrom), !m.RunTo.IsZero() && job.RunAt.After(m.RunTo):
		return "runs at " + job.RunAt.UTC().Format(time.RFC3339Nano)
	}
	for _, tag := range m.Tags {
		if !slices.Contains(job.Tags, tag) {
			return fmt.Sprintf("tags: no %q in %q", tag, job.Tags)
		}
	}
	if m.Data == nil {
		return ""
	}
	got, err := decode(job.Data)
	if err != nil {
		return err.Error()
	}
	return lacking("data", m.data, got)
}

// lacking names the first place where got is not what want says.
func lacking(path string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			value, has := object[key]
			if !has {
				return fmt.Sprintf("%s has no %q", path, key)
			}
			if why := lacking(path+"."+key, want[key], value); why != "" {
				return why
			}
		}
		return ""
	case []any:
		array, ok := got.([]any)
		if !ok {
			break
		}
		if len(array) != len(want) {
			return fmt.Sprintf("%s has %d elements, not %d", path, len(array), len(want))
		}
		for i := range want {
			if why := lacking(fmt.Sprintf("%s[%d]", path, i), want[i], array[i]); why != "" {
				return why
			}
		}
		return ""
	case json.Number:
		if number, ok := got.(json.Number); ok && sameNumber(want, number) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s is %s, not %s", path, encode(got), encode(want))
}

// sameNumber holds for 1, 1.0 and 1e0: Postgres may write a number in another way.
func sameNumber(a, b json.Number) bool {
	x, okX := new(big.Rat).SetString(a.String())
	y, okY := new(big.Rat).SetString(b.String())
	return okX && okY && x.Cmp(y) == 0
}

func encode(v any) string {
	text, _ := json.Marshal(v) // it came from JSON
	return clip(string(text))
}

// String says what is wanted, field by field.
func (w Want) String() string {
	var parts []string
	add := func(given bool, format string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(w.Queue != "", "queue %s", w.Queue)
	add(w.Name != "", "name %s", w.Name)
	add(w.Priority != "", "priority %s", w.Priority)
	add(len(w.Tags) > 0, "tags %q", w.Tags)
	add(w.IdempotencyKey != "", "idempotency key %q", w.IdempotencyKey)
	add(w.MinDelay != 0, "delay at least %v", w.MinDelay)
	add(w.MaxDelay != 0, "delay at most %v", w.MaxDelay)
	add(!w.RunFrom.IsZero(), "run from %s", w.RunFrom.UTC().Format(time.RFC3339Nano))
	add(!w.RunTo.IsZero(), "run to %s", w.RunTo.UTC().Format(time.RFC3339Nano))
	add(w.Data != nil, "data with %s", encode(w.Data))
	if len(parts) == 0 {
		return "any job"
	}
	return strings.Join(parts, ", ")
}
