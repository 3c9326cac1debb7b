package validate

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bodyOf is a body as a schema in YAML describes it.
func bodyOf(t testing.TB, schema string) *Schema {
	t.Helper()
	d, err := Read([]byte("paths: {/b: {post: {operationId: b, requestBody: {content: {application/json: {schema: " + schema + "}}}}}}"))
	require.NoError(t, err)
	return d.Find("POST", "/b").Bodies[JSON]
}

// refusal is why a schema refuses a document, nil when it does not.
func refusal(s *Schema, document []byte) error {
	_, err := s.Check(document, "")
	return err
}

const jobSchema = `{type: object, additionalProperties: false, required: [name], properties: {
	name: {type: string, minLength: 1, pattern: "^[a-z]+$"}, data: {}, delay: {type: number, minimum: 0},
	maxAttempts: {type: integer, minimum: 1, maximum: 100}, runAt: {type: string, format: date-time},
	type: {type: string, enum: [fixed, linear]}, tags: {type: array, maxItems: 2, items: {type: string}},
	priority: {oneOf: [{type: string}, {type: integer, maximum: 100}, {type: object, additionalProperties: false,
		properties: {weight: {type: integer}}}]}}}`

func TestABadBodyNamesEachFieldAndWhatIsAllowed(t *testing.T) {
	job := bodyOf(t, jobSchema)
	for _, c := range []struct {
		name, document string
		wrong          FieldErrors
	}{
		{"a good one passes", `{"name":"a","data":[1,{"x":null}],"tags":["a","b"],"priority":{"weight":5}}`, nil},
		{"a missing field", `{}`, FieldErrors{{"/name", "is required"}}},
		{"unknown fields", `{"name":"a","b":[1],"c/d":{}}`, FieldErrors{{"/b", "is not known here"}, {"/c~1d", "is not known here"}}},
		{"an unknown field of one of several forms", `{"name":"a","priority":{"wait":1}}`, FieldErrors{{"/priority/wait", "is not known here"}}},
		{"another type", `{"name":1}`, FieldErrors{{"/name", "must be string, got number"}}},
		{"null is a type", `{"name":null}`, FieldErrors{{"/name", "must be string, got null"}}},
		{"none of several types", `{"name":"a","priority":true}`, FieldErrors{{"/priority", "must be string, integer or object, got boolean"}}},
		{"the form that was meant is explained", `{"name":"a","priority":101}`, FieldErrors{{"/priority", "must be at most 100"}}},
		{"too short, and no match", `{"name":""}`, FieldErrors{{"/name", "must have at least 1 character"}, {"/name", "must match ^[a-z]+$"}}},
		{"a pattern", `{"name":"a\nb"}`, FieldErrors{{"/name", "must match ^[a-z]+$"}}},
		{"negative", `{"name":"a","delay":-0.5}`, FieldErrors{{"/delay", "must be at least 0"}}},
		{"a fraction", `{"name":"a","maxAttempts":1.5}`, FieldErrors{{"/maxAttempts", "must be integer, got number"}}},
		{"several fields at once", `{"name":"a","maxAttempts":0,"delay":"x"}`, FieldErrors{{"/delay", "must be number, got string"}, {"/maxAttempts", "must be at least 1"}}},
		{"a word there is not", `{"name":"a","type":"cubic"}`, FieldErrors{{"/type", "must be fixed or linear"}}},
		{"a time that is none", `{"name":"a","runAt":"noon"}`, FieldErrors{{"/runAt", "must be a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z"}}},
		{"a list that is too long", `{"name":"a","tags":["a","b","c"]}`, FieldErrors{{"/tags", "must have at most 2 items"}}},
		{"not an object", `[]`, FieldErrors{{"", "must be object, got array"}}},
		{"nothing", ``, FieldErrors{{"", "must be a JSON document, and this one ends too early"}}},
		{"half of it", `{"name":"a"`, FieldErrors{{"", "must be a JSON document, and this one ends too early"}}},
		{"two of them", `{"name":"a"}{}`, FieldErrors{{"", "must be one JSON document, and something follows it"}}},
		{"a field twice", `{"name":"a","name":"b"}`, FieldErrors{{"/name", "is given twice"}}},
		{"a field of the data twice", `{"name":"a","data":{"x":{"y":1,"y":2}}}`, FieldErrors{{"/data/x/y", "is given twice"}}},
		{"the same field spelt in two ways", `{"name":"a","data":{"x":1,"\u0078":2}}`, FieldErrors{{"/data/x", "is given twice"}}},
		{"an infinite number", `{"name":"a","data":{"x":[0,1e999]}}`, FieldErrors{{"/data/x/1", "must be a number that fits a 64-bit float"}}},
		{"an infinite number where one is due", `{"name":"a","delay":-1e999}`, FieldErrors{{"/delay", "must be a number that fits a 64-bit float"}}},
		{"a number of many digits", `{"name":"a","data":` + strings.Repeat("1", 351) + `}`, FieldErrors{{"/data", "must be a number of at most 350 characters"}}},
		{"an escaped NUL", `{"name":"a","data":["\u0000"]}`, FieldErrors{{"/data/0", `must be free of \u0000, which Postgres cannot store`}}},
		{"an escaped NUL in a name", `{"name":"a","data":{"a\u0000":1}}`, FieldErrors{{"/data/a\x00", `must be free of \u0000, which Postgres cannot store`}}},
		{"an escaped backslash before u0000 is none", `{"name":"a","data":"\\u0000"}`, nil},
		{"bad UTF-8", "{\"name\":\"a\",\"data\":\"\xff\"}", FieldErrors{{"/data", "must be text in UTF-8"}}},
		{"half a surrogate", `{"name":"a","data":"\ud800"}`, FieldErrors{{"/data", "must be text in UTF-8"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := refusal(job, []byte(c.document))
			if c.wrong == nil {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.wrong, err)
		})
	}
}

func TestWhatIsNotJSONIsRefusedWithItsPlace(t *testing.T) {
	job := bodyOf(t, jobSchema)
	for document, want := range map[string]string{
		"{\"name\":\"a\x00\"}":         "is not JSON: ",
		"{\"name\":\"a\",}":            "is not JSON: ",
		`{'name':'a'}`:                 "is not JSON: ",
		`{"name":"a","delay":01}`:      "is not JSON: ",
		`{"name":"a","delay":NaN}`:     "is not JSON: ",
		"\xef\xbb\xbf{\"name\":\"a\"}": "is not JSON: it begins with a byte order mark",
		`{"name":"a"}]`:                "is not JSON: ",
	} {
		err := refusal(job, []byte(document))
		require.ErrorContains(t, err, want, "%q", document)
		require.IsType(t, FieldErrors{}, err)
	}
}

func TestNestingIsBounded(t *testing.T) {
	job := bodyOf(t, jobSchema)
	nested := func(n int) []byte {
		return []byte(`{"name":"a","data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}")
	}
	require.NoError(t, refusal(job, nested(maxDepth-1)))
	require.Equal(t, FieldErrors{{"", "must not nest deeper than 100 levels"}}, refusal(job, nested(maxDepth)))
	require.Equal(t, FieldErrors{{"", "must not nest deeper than 100 levels"}}, refusal(job, nested(100_000)))
}

func TestABatchIsReadOnlyAsFarAsItMayBe(t *testing.T) {
	batch := bodyOf(t, "{type: array, maxItems: 10000, items: "+jobSchema+"}")
	require.NoError(t, refusal(batch, []byte("["+strings.Repeat(`{"name":"a"},`, 9_999)+`{"name":"a"}]`)))
	require.Equal(t, FieldErrors{{"", "must have at most 10000 items"}},
		refusal(batch, []byte("["+strings.Repeat(`{"name":"a"},`, 10_000)+`{"name":"a"}]`)))

	wrong := refusal(batch, []byte("["+strings.Repeat(`{"name":"a"},`, 50)+`{"name":"a","delay":-1}]`))
	require.Equal(t, FieldErrors{{"/50/delay", "must be at least 0"}}, wrong)

	wrong = refusal(batch, []byte("["+strings.Repeat(`{"nome":"a"},`, 9_999)+`{}]`))
	require.Len(t, wrong, MaxFieldErrors, "an answer lists so many and no more")
}

// A hostile document must not cost much more than it weighs.
func TestHostileDocumentsCostLittle(t *testing.T) {
	fields := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"name":"a"`)
		for i := range n {
			fmt.Fprintf(&b, `,"f%d":[]`, i)
		}
		return b.String() + "}"
	}
	for _, c := range []struct{ name, schema, document string }{
		{"a million empty lists as data", jobSchema, `{"name":"a","data":[` + strings.Repeat("[],", 1_000_000) + `0]}`},
		{"a million jobs that are numbers", "{type: array, maxItems: 10000, items: " + jobSchema + "}", "[" + strings.Repeat("1,", 1_000_000) + "1]"},
		{"a million items where one object is due", jobSchema, "[" + strings.Repeat("1,", 1_000_000) + "1]"},
		{"a list where a word is due", jobSchema, `{"name":[` + strings.Repeat("1,", 1_000_000) + "1]}"},
		{"half a million unknown fields", jobSchema, fields(500_000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := bodyOf(t, c.schema)
			document := []byte(c.document)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = refusal(job, document)
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), int64(2*len(document)+1<<20), "of a document of %d bytes", len(document))
		})
	}
}

// JSON Schema knows one kind of number: 3.0 is an integer. Go's decoder does not take it.
func TestAnIntegerMayBeWrittenInAnyWay(t *testing.T) {
	job := bodyOf(t, jobSchema)
	for written, plain := range map[string]string{
		"3.0": "3", "1e2": "100", "1E+2": "100", "10.0": "10", "0.5e1": "5", "100e-2": "1", "1.50e1": "15",
	} {
		document, err := job.Check([]byte(`{"name":"a","data":{"n":3.0},"maxAttempts":`+written+`, "priority":{"weight":-0.0}}`), "")
		require.NoError(t, err, written)
		require.Equal(t, `{"name":"a","data":{"n":3.0},"maxAttempts":`+plain+`, "priority":{"weight":0}}`, string(document),
			"data stays as it was written")
	}
	for _, written := range []string{"1.5", "1e-1", "100e-3", "1e-99999999999999999999", "1.00000000000000000001"} {
		require.Equal(t, FieldErrors{{"/maxAttempts", "must be integer, got number"}},
			refusal(job, []byte(`{"name":"a","maxAttempts":`+written+`}`)), written)
	}
	require.Equal(t, FieldErrors{{"/maxAttempts", "must be at most 100"}}, refusal(job, []byte(`{"name":"a","maxAttempts":1e300}`)))
	lines, err := job.CheckLines([]byte("{\"name\":\"a\"}\n\n{\"name\":\"b\",\"maxAttempts\":1e1}\n"))
	require.NoError(t, err)
	require.Equal(t, "{\"name\":\"a\"}\n{\"name\":\"b\",\"maxAttempts\":10}", string(lines))
}

func BenchmarkCheckBatch(b *testing.B) {
	batch := bodyOf(b, "{type: array, maxItems: 10000, items: "+jobSchema+"}")
	for _, job := range []struct{ name, text string }{
		{"usual", `{"name":"deploy","data":{"text":"` + strings.Repeat("x", 90) + `"}}`},
		{"with a time", `{"name":"deploy","data":{"text":"` + strings.Repeat("x", 90) + `"},"runAt":"2026-01-31T12:00:00Z"}`},
	} {
		document := fmt.Appendf(nil, "[%s%s]", strings.Repeat(job.text+",", 999), job.text)
		b.Run(job.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, refusal(batch, document))
			}
		})
	}
}
