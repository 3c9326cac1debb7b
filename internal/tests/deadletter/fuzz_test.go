package deadletter_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// A filter comes from strangers: it finds something, or nothing, or is refused as an
// argument. No text of it is an error of the database's or a way to see more.
func FuzzFiltersFindOrAreRefused(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"n","tag":"t","class":"E*"}`, `{"data":"$.a == 1"}`, `{"data":"$.a like_regex \"(\""}`, `{"data":"$.a / 0 > 1"}`,
		`{"state":"waiting"}`, `{"state":"nowhere"}`, `{"enqueuedFrom":"2026-01-01T00:00:00Z"}`, `{"failedTo":"0000-01-01T00:00:00Z"}`,
		`{"reason":"exhausted","canRetry":true}`, `{"fingerprint":"' OR true --"}`, `{"queue":"q"}`, `{"data":"$.** ? (@ > $now)"}`,
	} {
		f.Add([]byte(seed))
	}
	fix := newFixture(f)
	for _, data := range []string{`{"a":1}`, `[]`, `"x"`, `{"a":{"a":[1,"2",null]}}`} {
		_, err := fix.client.Enqueue(f.Context(), penstock.NewJob{Queue: "q", Name: "n", Data: json.RawMessage(data)})
		require.NoError(f, err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var jobs penstock.JobFilter
		var dead penstock.DeadFilter
		ctx, cancel := soon()
		defer cancel()
		if json.Unmarshal(text, &jobs) == nil && sane(jobs.EnqueuedFrom, jobs.EnqueuedTo) {
			page, err := fix.client.Jobs(ctx, penstock.JobQuery{Filter: jobs})
			foundOrRefused(t, err)
			require.LessOrEqual(t, len(page.Items), 4)
		}
		if json.Unmarshal(text, &dead) == nil && sane(dead.FailedFrom, dead.FailedTo) {
			page, err := fix.client.DLQ.List(ctx, penstock.DeadQuery{Filter: dead})
			foundOrRefused(t, err)
			require.Empty(t, page.Items)
		}
	})
}

// sane leaves out times that JSON cannot spell.
func sane(times ...*time.Time) bool {
	for _, at := range times {
		if at != nil && (at.Year() < 0 || at.Year() > 9999) {
			return false
		}
	}
	return true
}

func foundOrRefused(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, penstock.ErrInvalidArgument) {
		return
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	// 22021, 22P05: text that no Postgres holds, such as a NUL, is refused before the verb sees it.
	require.True(t, ok && (pg.Code == "22021" || pg.Code == "22P05"), "%v", err)
}
