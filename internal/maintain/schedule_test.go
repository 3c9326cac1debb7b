package maintain

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ticks are the first n moments after one at which a schedule is due, as RFC 3339 in
// its own zone.
func ticks(t *testing.T, schedule, zone, after string, n int) (list []string) {
	t.Helper()
	s, err := ParseSchedule(schedule, zone)
	require.NoError(t, err)
	at, err := time.Parse(time.RFC3339, after)
	require.NoError(t, err)
	for range n {
		next := s.Next(at)
		require.Greater(t, next, at)
		at = next
		list = append(list, at.In(s.zone).Format(time.RFC3339))
	}
	return list
}

func TestASchedulesTicks(t *testing.T) {
	for _, c := range []struct {
		name, schedule, zone, after string
		want                        []string
	}{
		{
			"daily in UTC", "0 2 * * *", "UTC", "2026-01-31T02:00:00Z",
			[]string{"2026-02-01T02:00:00Z", "2026-02-02T02:00:00Z"},
		},
		{
			"every ten seconds, by a field of seconds", "*/10 * * * * *", "UTC", "2026-01-31T23:59:45Z",
			[]string{"2026-01-31T23:59:50Z", "2026-02-01T00:00:00Z"},
		},
		{
			"an interval keeps to its multiples", "@every 90s", "UTC", "1970-01-01T00:01:00Z",
			[]string{"1970-01-01T00:01:30Z", "1970-01-01T00:03:00Z"},
		},
		{
			"an interval that no minute divides by, over midnight", "@every 7h", "Europe/Berlin", "1970-01-01T20:00:00Z",
			[]string{"1970-01-01T22:00:00+01:00", "1970-01-02T05:00:00+01:00"},
		},
		{
			"weekdays by name", "30 9 * * mon-fri", "UTC", "2026-11-27T12:00:00Z",
			[]string{"2026-11-30T09:30:00Z", "2026-12-01T09:30:00Z"},
		},
		{
			"day of month or of week, when both are restricted", "0 0 13 * fri", "UTC", "2026-11-10T00:00:00Z",
			[]string{"2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"},
		},
		{
			"a leap day, over the year 2100 that has none", "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z",
			[]string{"2104-02-29T00:00:00Z"},
		},
		{
			"yearly", "@yearly", "Asia/Kathmandu", "2026-06-01T00:00:00Z",
			[]string{"2027-01-01T00:00:00+05:45"},
		},
		{
			"a time that is left out runs when the gap ends", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		},
		{
			"several left out are one run, and what follows is as written", "15,45 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00", "2026-03-29T03:45:00+02:00", "2026-03-30T02:15:00+02:00"},
		},
		{
			"the moment the gap ends is no tick twice", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"},
		},
		{
			"a time that comes twice runs the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		{
			"asked between the two, it runs the next day", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:45:00+02:00",
			[]string{"2026-10-26T02:30:00+01:00"},
		},
		{
			"asked within the second, it runs the next day", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00",
			[]string{"2026-10-25T02:30:00+01:00"},
		},
		{
			"every hour goes on through the hour that comes twice", "30 * * * *", "Europe/Berlin", "2026-10-25T01:00:00+02:00",
			[]string{"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"},
		},
		{
			"every hour passes the gap as time does", "30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"},
		},
		{
			"every ten minutes through both", "*/20 * * * *", "Europe/Berlin", "2026-03-29T01:30:00+01:00",
			[]string{"2026-03-29T01:40:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00"},
		},
		{
			"a gap at midnight", "0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z",
			[]string{"2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"},
		},
		{
			"a gap of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"},
		},
		{
			"half an hour that comes twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		},
		{
			"the last day of a leap year, decades ahead", "0 0 31 12 *", "Europe/Berlin", "2044-12-31T12:00:00Z",
			[]string{"2045-12-31T00:00:00+01:00"},
		},
		{
			"a day that a zone leaves out", "0 12 30 12 *", "Pacific/Apia", "2011-06-01T00:00:00Z",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, ticks(t, c.schedule, c.zone, c.after, len(c.want)))
		})
	}
}

func TestASchedulesRefusals(t *testing.T) {
	for _, c := range []struct{ name, schedule, zone, says string }{
		{"nothing", "", "UTC", "empty"},
		{"too few fields", "* * *", "UTC", "5 to 6 fields"},
		{"too many fields", "* * * * * * *", "UTC", "5 to 6 fields"},
		{"a minute that no hour has", "60 * * * *", "UTC", "60"},
		{"a day that never comes", "0 0 30 2 *", "UTC", "never falls due"},
		{"days that never come", "0 0 31 2,4,6,9,11 *", "UTC", "never falls due"},
		{"a step of nothing", "*/0 * * * *", "UTC", "step"},
		{"a zone inside", "TZ=Europe/Berlin 0 2 * * *", "UTC", "a setting of its own"},
		{"half a zone inside", "TZ=0", "UTC", "a setting of its own"},
		{"a zone inside, by the longer name", "CRON_TZ=UTC @daily", "UTC", "a setting of its own"},
		{"at every start", "@reboot", "UTC", "unrecognized descriptor"},
		{"an interval of nothing", "@every 0s", "UTC", "at least 1s"},
		{"an interval backwards", "@every -1h", "UTC", "at least 1s"},
		{"an interval of years", "@every 8785h", "UTC", "8784h"},
		{"an interval without an end", "@every 9223372036854775807ns9999999999h", "UTC", "duration"},
		{"more than anyone reads", strings.Repeat("0,", 200) + "0 * * * *", "UTC", "longer than 200"},
		{"no zone", "@daily", "", "the time zone must be"},
		{"the machine's own zone", "@daily", "Local", "the time zone must be"},
		{"a zone that is nowhere", "@daily", "Mars/Olympus", "there is no time zone"},
		{"a file that is no zone", "@daily", "../../etc/passwd", "there is no time zone"},
		{"a zone of a gigabyte", "@daily", strings.Repeat("A", 1<<16), "the time zone must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseSchedule(c.schedule, c.zone)
			require.ErrorContains(t, err, c.says)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

// FuzzSchedule reads what anyone may write: it never panics, never spins, and what it
// accepts goes forward, onto whole seconds.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{
		"* * * * *", "*/10 * * * * *", "0 0 29 2 *", "0 0 30 2 *", "TZ=0", "CRON_TZ=", "@every 1ns", "@every 300y", "@daily",
		"59 23 31 12 7", "*/7,1-5/2 22-2 ? JAN-MAR SUN", "0 0 L * FRI#3", "H H * * *", "9999999999999999999 * * * *", "\x00", "é * * * *",
		"* * * * * 2147483647", "1-/ * * * *", "*/-1 * * * *", "1--1 * * * *", "0 0 31 2,4,6,9,11 *",
	} {
		for _, zone := range []string{"UTC", "Europe/Berlin"} {
			f.Add(seed, zone, int64(1_774_746_000))
		}
	}
	f.Fuzz(func(t *testing.T, text, zone string, at int64) {
		began := time.Now()
		s, err := ParseSchedule(text, zone)
		if err != nil {
			return
		}
		moment := time.Unix(at%4_000_000_000, 0)
		for range 5 {
			next := s.Next(moment)
			if next.IsZero() {
				break
			}
			require.Greater(t, next, moment)
			require.Zero(t, next.Nanosecond())
			moment = next
		}
		require.Less(t, time.Since(began), 5*time.Second, "it spins")
	})
}
