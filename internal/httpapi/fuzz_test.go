package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/httpapi/validate"
	"github.com/penstock/penstock/internal/testkit"
)

// TestAnyRequestIsAnsweredWithoutAFailureOfOurs sends every operation what its
// description allows, and what it does not, and the like. PENSTOCK_FUZZ_HTTP says for
// how long, as Go writes a duration; without it for some seconds.
func TestAnyRequestIsAnsweredWithoutAFailureOfOurs(t *testing.T) {
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	s := newService(Deps{Client: client, Loopback: true}, openapi.Spec)
	s.tokens.armed.Store(true) // there are no tokens, nor will be
	e := New(Deps{Client: client, Loopback: true})
	operations := slices.SortedFunc(maps.Values(s.description.Operations), func(a, b *validate.Operation) int { return strings.Compare(a.ID, b.ID) })

	check := func(t *rapid.T) {
		op := rapid.SampledFrom(operations).Draw(t, "operation")
		request := fuzzedRequest(t, op)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, request.WithContext(ctx))
		if ctx.Err() != nil {
			return // it waits for news, as it may
		}
		if recorder.Code >= http.StatusInternalServerError {
			t.Fatalf("%s %s answers %d: %s", request.Method, request.URL, recorder.Code, recorder.Body)
		}
		if recorder.Code >= http.StatusBadRequest {
			var problem openapi.Problem
			if err := json.Unmarshal(recorder.Body.Bytes(), &problem); err != nil || problem.Code == "" {
				t.Fatalf("%s %s answers %d with no problem: %s", request.Method, request.URL, recorder.Code, recorder.Body)
			}
		}
	}
	spell := 3 * time.Second
	if asked := os.Getenv("PENSTOCK_FUZZ_HTTP"); asked != "" {
		spell, err = time.ParseDuration(asked)
		require.NoError(t, err)
	}
	for end := time.Now().Add(spell); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, check)
	}
}

// hostile is what no field expects.
var hostile = []any{
	nil, true, -1, 0, 1.5, 1e308, -1e308, int64(1) << 62, "", " ", "\n", "null", "a'; DROP TABLE penstock.jobs; --", "../../etc/passwd",
	"%00", "💥", "\u202e", strings.Repeat("a", 5000), "$.a ? (@ like_regex \"(((\")", "1e999999", "9223372036854775808", "infinity",
	[]any{},
	map[string]any{},
	[]any{[]any{[]any{}}},
	map[string]any{"": map[string]any{"__proto__": 1}},
	"2026-02-30T25:61:61Z", "-infinity",
	"294277-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "\\u0000", "{}", "[]", "pen_x_y",
}

// fuzzedRequest is one of the operation, mostly as described.
func fuzzedRequest(t *rapid.T, op *validate.Operation) *http.Request {
	route, query, headers := op.Route, url.Values{}, http.Header{}
	for _, p := range op.Parameters {
		if p.In != "path" && !p.Required && rapid.IntRange(0, 2).Draw(t, "leave out") > 0 {
			continue
		}
		text := fmt.Sprint(fuzzed(t, p.Schema, p.Name))
		switch p.In {
		case "path":
			route = strings.Replace(route, ":"+p.Name, url.PathEscape(text), 1)
		case "query":
			query.Add(p.Name, text)
		case "header":
			headers[http.CanonicalHeaderKey(p.Name)] = []string{strings.Map(printable, text)}
		}
	}
	target := &url.URL{Path: "/", RawQuery: query.Encode()}
	if parsed, err := url.Parse(route); err == nil {
		target.Path, target.RawPath = parsed.Path, parsed.RawPath
	}
	var body string
	if media := slices.Sorted(maps.Keys(op.Bodies)); len(media) > 0 {
		of := rapid.SampledFrom(media).Draw(t, "media type")
		text, err := json.Marshal(fuzzed(t, op.Bodies[of], "body"))
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
		headers.Set("Content-Type", of)
	}
	request := httptest.NewRequest(op.Method, "/", strings.NewReader(body))
	request.URL, request.Host = target, "localhost"
	if body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	maps.Copy(request.Header, headers)
	return request
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// words are values that mean something to somebody.
var words = []string{"mail", "a", "deploy", "1", "2078000000000001", "dlq_2078000000000001_1", "high", "waiting", "fixed", "1h", "$.a", "me"}

// fuzzed is a value that the schema allows, or once in eight times one it does not.
func fuzzed(t *rapid.T, s *validate.Schema, label string) any {
	if s.Any || rapid.IntRange(0, 7).Draw(t, label+" is hostile") == 0 {
		return rapid.SampledFrom(hostile).Draw(t, label)
	}
	if s.Alternatives != nil {
		return fuzzed(t, rapid.SampledFrom(s.Alternatives).Draw(t, label+" form"), label)
	}
	if s.Enum != nil {
		return rapid.SampledFrom(s.Enum).Draw(t, label)
	}
	switch rapid.SampledFrom(s.Types).Draw(t, label+" type") {
	case "object":
		return fuzzedObject(t, s)
	case "array":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, label+" length") {
			list = append(list, fuzzed(t, s.Items, label))
		}
		return list
	case "integer":
		return fuzzedNumber(t, s, label)
	case "number":
		return float64(fuzzedNumber(t, s, label)) + rapid.SampledFrom([]float64{0, 0.5}).Draw(t, label)
	case "boolean":
		return rapid.Bool().Draw(t, label)
	case "null":
		return nil
	}
	if s.DateTime {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, label), 0).UTC().Format(time.RFC3339)
	}
	return rapid.SampledFrom(words).Draw(t, label)
}

func fuzzedObject(t *rapid.T, s *validate.Schema) map[string]any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(s.Required, name) && rapid.IntRange(0, 2).Draw(t, name+" is left out") > 0 {
			continue
		}
		object[name] = fuzzed(t, s.Properties[name], name)
	}
	if rapid.IntRange(0, 15).Draw(t, "add a field") == 0 {
		object["surprise"] = rapid.SampledFrom(hostile).Draw(t, "surprise")
	}
	return object
}

// fuzzedNumber is within the bounds or just beyond them.
func fuzzedNumber(t *rapid.T, s *validate.Schema, label string) int64 {
	least, most := int64(-2), int64(100_000)
	if s.Minimum != nil {
		least = int64(*s.Minimum) - 1
	}
	if s.Maximum != nil {
		most = int64(min(*s.Maximum, 1e15)) + 1
	}
	return rapid.Int64Range(least, max(least, most)).Draw(t, label)
}
