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
		{"seconds", now.Add(-12 * time.Second), "12s ago"},
		{"minutes are rounded down", now.Add(-3*time.Minute - 59*time.Second), "3m ago"},
		{"hours", now.Add(-25 * time.Hour / 2), "12h ago"},
		{"days", now.Add(-49 * time.Hour), "2d ago"},
		{"what is to come", now.Add(90 * time.Second), "in 1m"},
		{"no moment has no words", time.Time{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Ago(c.at, now)) })
	}
}

func TestMeasuredDurationsHaveThePrecisionThatFits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0µs", 412 * time.Microsecond: "412µs", 12345 * time.Microsecond: "12.3ms", 1234 * time.Millisecond: "1.23s",
		42 * time.Second: "42.0s", 642*time.Second + 345*time.Millisecond: "10m 42s", 10 * time.Minute: "10m",
		3*time.Hour + 5*time.Minute + 42*time.Second: "3h 5m", 52 * time.Hour: "2d 4h", -time.Minute: "-1m",
	} {
		require.Equal(t, want, Duration(d))
	}
}

func TestSettingsAreWrittenAsTheyAreRead(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", time.Minute: "1m", 90 * time.Second: "1m 30s", time.Hour: "1h",
		90 * time.Minute: "1h 30m", time.Hour + time.Second: "1h 1s", 36 * time.Hour: "1d 12h", 366 * 24 * time.Hour: "366d",
		10 * time.Second: "10s", time.Microsecond: "1µs", 24*time.Hour + 50*time.Millisecond: "1d 50ms",
	} {
		require.Equal(t, want, Exact(d))
		back, err := ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
	for _, wrong := range []string{"", "soon", "d", "1.5d", "-2d", "1d -2h", "7", "99999999d"} {
		_, err := ParseDuration(wrong)
		require.EqualError(t, err, "give days (7d) or a duration (1h30m)", wrong)
	}
}

func TestTheTimeBeforeNowIsNamed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "the last hour", 24 * time.Hour: "the last day", 7 * 24 * time.Hour: "the last 7 days",
		10 * time.Minute: "the last 10 minutes", 90 * time.Minute: "the last 90 minutes", 1500 * time.Millisecond: "the last 1.5s",
	} {
		require.Equal(t, want, Last(d))
	}
}

func TestAMomentHasItsClockTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	require.Equal(t, "2026-01-31 11:56:00 UTC (4m ago)", Moment(now.Add(-4*time.Minute), now))
	require.Empty(t, Moment(time.Time{}, now))
}
