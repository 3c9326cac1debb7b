package terminal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMomentsForPeople(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"now is now", now, "just now"},
		{"clocks that differ by a second agree", now.Add(time.Second), "just now"},
		{"seconds", now.Add(-12 * time.Second), "12 s ago"},
		{"minutes are rounded down", now.Add(-3*time.Minute - 59*time.Second), "3 m ago"},
		{"hours", now.Add(-25 * time.Hour / 2), "12 h ago"},
		{"days", now.Add(-49 * time.Hour), "2 d ago"},
		{"what is to come", now.Add(90 * time.Second), "in 1 m"},
		{"no moment has no words", time.Time{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Ago(c.at, now)) })
	}
}
