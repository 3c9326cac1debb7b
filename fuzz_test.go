package penstock

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/penstock/penstock/internal/safetext"
	"github.com/stretchr/testify/require"
)

// A cursor comes back from strangers: whatever its text is, it is read as the key of
// this very query or refused by name.
func FuzzCursorsAreReadOrRefused(f *testing.F) {
	f.Add("", uint64(0))
	f.Add(cursor{7, 42, time.Unix(1, 2).UTC()}.String(), uint64(7))
	f.Add(cursor{7, math.MinInt64, time.Time{}}.String(), uint64(7))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"q":7,"i":"42","t":"10000-01-01T00:00:00Z"}`)), uint64(7))
	f.Add("eyJxIjo3fQ==", uint64(7))
	f.Add(strings.Repeat("A", 1000), uint64(1))
	f.Fuzz(func(t *testing.T, text string, query uint64) {
		c, err := readCursor(text, query)
		if err != nil {
			var bad *ArgumentError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "cursor", bad.Argument)
			require.Less(t, len(err.Error()), 300, "an error quotes little of what it refuses")
			return
		}
		if c == nil {
			require.Empty(t, text)
			return
		}
		require.Equal(t, query, c.Query)
		again, err := readCursor(c.String(), query)
		require.NoError(t, err)
		require.Equal(t, c.ID, again.ID)
		require.True(t, c.At.Equal(again.At))
	})
}

// A retry strategy that is read is written as it was meant.
func FuzzRetryStrategiesSurviveTheirJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"type":"fixed","delay":0}`, `{"delay":1e300}`, `{"delay":-1e300,"maxDelay":-0.1}`, `{"delay":1e-300}`,
		`{"type":"exponential","delay":5000,"maxAttempts":5,"backoffMultiplier":2,"maxDelay":300000,"jitter":0.1}`,
		`{"type":""}`, `{"maxAttempts":0}`, `{"maxAttempts":3.0}`, `{"jitter":null}`, `[]`, `{"Delay":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var read, again RetryStrategy
		if json.Unmarshal(text, &read) != nil {
			return
		}
		written, err := json.Marshal(read)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(written, &again), "%s", written)
		require.Equal(t, read.Type, again.Type)
		require.Equal(t, read.MaxAttempts, again.MaxAttempts)
		require.Equal(t, read.Delay < 0 && read.Delay != NoDelay, again.Delay < 0 && again.Delay != NoDelay)
		for failures := range 5 {
			wait := read.RetryDelay(failures, 0.5)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.LessOrEqual(t, wait, max(read.MaxDelay, 0))
		}
	})
}

// A number of milliseconds keeps its sign, however far beyond a duration it is.
func FuzzMillisecondsKeepTheirSign(f *testing.F) {
	for _, seed := range []string{`0`, `1.5`, `-3`, `1e300`, `-1e300`, `9223372036854.775807`, `"1"`, `null`, `1e-9`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Milliseconds
		var number float64
		if json.Unmarshal(text, &m) != nil || json.Unmarshal(text, &number) != nil {
			return
		}
		require.False(t, number > 0 && m < 0 || number < 0 && m > 0, "%s became %v", text, time.Duration(m))
		_, err := json.Marshal(m)
		require.NoError(t, err)
	})
}

// What is let through as a job's data is JSON without a NUL and not too long: the rest
// would spoil the statement that it shares with others.
func FuzzDataHoldsNoNUL(f *testing.F) {
	for _, seed := range []string{`{}`, `"\u0000"`, `"\\u0000"`, `"\\\u0000"`, `{"\u0000":1}`, `"\ud800"`, `[1e400]`, "\"\x00\"", ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, err := encodeData(json.RawMessage(text))
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidArgument)
			return
		}
		require.True(t, json.Valid(raw))
		tokens := json.NewDecoder(bytes.NewReader(raw))
		tokens.UseNumber()
		for token, err := tokens.Token(); err == nil; token, err = tokens.Token() {
			if s, isText := token.(string); isText {
				require.NotContains(t, s, "\x00")
			}
		}
	})
}

// Whatever a handler's error says, what is recorded of it is text that Postgres takes.
func FuzzErrorsBecomeText(f *testing.F) {
	f.Add("plain", 10)
	f.Add("a\x00b", 3)
	f.Add("\xff\xfe", 2)
	f.Add("ü€😀", 5)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = min(max(limit, 0), 1<<16)
		clean := safetext.Clean(text, limit)
		require.LessOrEqual(t, len(clean), limit)
		require.True(t, utf8.ValidString(clean))
		require.NotContains(t, clean, "\x00")
		require.NotEmpty(t, classes(errors.New(text)))
		require.False(t, slices.ContainsFunc(appendClass(nil, text), func(class string) bool {
			return strings.ContainsAny(class, " \t\n") || class == ""
		}), "classes are parted by spaces")
	})
}
