package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/command"
)

func TestMomentsAreTimesDaysOrHowLongAgo(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, text string
		want       time.Time
	}{
		{"a time", "2026-01-30T10:00:00+02:00", time.Date(2026, 1, 30, 8, 0, 0, 0, time.UTC)},
		{"a day begins in UTC", "2026-01-30", time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)},
		{"hours ago", "2h", now.Add(-2 * time.Hour)},
		{"days ago", "7d", now.AddDate(0, 0, -7)},
		{"now", "0s", now},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m moment
			require.NoError(t, m.Set(c.text))
			require.Equal(t, c.want, *m.before(now))
		})
	}
	require.Nil(t, (&moment{}).before(now), "none was given")
}

// The filters are part of what a cursor belongs to, so "2h ago" must stay what it was.
func TestACursorCarriesTheMomentThatRelativeTimesCountFrom(t *testing.T) {
	cmd := &cobra.Command{Use: "list"}
	asked := time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)
	var since, fixed moment
	require.NoError(t, since.Set("2h"))
	require.NoError(t, fixed.Set("2026-01-30"))

	page := paging{limit: 50}
	require.NoError(t, page.begin(cmd, asked))
	from := *since.before(page.asked)
	require.Empty(t, page.next("", since), "the end of a list")
	require.Equal(t, "abc", page.next("abc", fixed, moment{}), "no time moves")

	later := paging{limit: 50, cursor: page.next("abc", since)}
	require.NoError(t, later.begin(cmd, asked.Add(time.Hour)))
	require.Equal(t, "abc", later.cursor)
	require.Equal(t, from, *since.before(later.asked))

	foreign := paging{limit: 50, cursor: "abc.d?f"}
	require.NoError(t, foreign.begin(cmd, asked))
	require.Equal(t, "abc.d?f", foreign.cursor, "left to be refused")
}

func TestDurationsReadAsTheyAreTyped(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"30d": 30 * 24 * time.Hour, "1h30m": 90 * time.Minute, "25h": 25 * time.Hour, "2h": 2 * time.Hour,
		"90s": 90 * time.Second, "250ms": 250 * time.Millisecond, "1h0m5s": time.Hour + 5*time.Second, "1h 30m": 90 * time.Minute,
	} {
		var w wait
		require.NoError(t, w.Set(text))
		require.Equal(t, d, time.Duration(w))
		var again wait
		require.NoError(t, again.Set(w.String()), "help shows a default as it may be typed")
		require.Equal(t, w, again)
	}
}

func TestWhatTouchesManyAsksWhoeverSitsThere(t *testing.T) {
	cmd := &cobra.Command{Use: "purge"}
	for _, c := range []struct {
		name, answer string
		yes, asks    bool
		says         string
	}{
		{"yes was said on the command line", "", true, false, ""},
		{"nobody is there", "y\n", false, false, "this would purge 3 jobs: add --yes"},
		{"the answer is y", "y\n", false, true, ""},
		{"the answer is Yes", " Yes \n", false, true, ""},
		{"the answer is n", "n\n", false, true, "nothing was changed"},
		{"the answer is the return key", "\n", false, true, "nothing was changed"},
		{"the input has ended", "", false, true, "nothing was changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			d := &deps{&command.Process{Stdin: strings.NewReader(c.answer), Stderr: &said, Asks: c.asks}}
			err := confirm(context.Background(), d, cmd, c.yes, "purge 3 jobs")
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
			if c.asks {
				require.Equal(t, "Purge 3 jobs? [y/N] ", said.String())
			}
		})
	}
}

func TestAChangeNamesWhatDiffers(t *testing.T) {
	for _, c := range []struct {
		name, before, after, want string
	}{
		{"a field that changed", `{"queue":"q","paused":false,"aging":0}`, `{"queue":"q","paused":true,"aging":0}`, "paused: false → true"},
		{"a new row, but for what it leaves open", ``, `{"queue":"q","delay":null,"paused":true}`, "paused: true"},
		{"a row that is gone", `{"level":"vip","weight":15}`, ``, `level: "vip" → gone, weight: 15 → gone`},
		{"what is no object", `[1]`, `[2]`, "[1] → [2]"},
		{"nothing", ``, ``, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, changeText([]byte(c.before), []byte(c.after)))
		})
	}
}
