package penstock

import "time"

// value is what p points at, the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// utc is a time as JSON shows it, nil for nil.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// optional is a text for SQL, null for the empty one.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// moment is a time for SQL, null for the zero one.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
