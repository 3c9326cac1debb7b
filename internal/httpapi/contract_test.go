package httpapi

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

func served(t *testing.T) *contract {
	t.Helper()
	c, err := readContract(openapi.Spec)
	require.NoError(t, err)
	return c
}

func TestTheServerEmbedsTheOneDescription(t *testing.T) {
	source, err := os.ReadFile("../../openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(source), string(openapi.Spec), "mend with: make gen")
}

func TestEveryOperationHasItsRoles(t *testing.T) {
	var described []string
	for _, op := range served(t).operations {
		described = append(described, op.id)
		require.NotZero(t, roles[op.id], "decide in roles.go who may call %s", op.id)
	}
	require.ElementsMatch(t, described, slices.Collect(maps.Keys(roles)), "roles.go names an operation that there is not")
}

func TestWhatAFullQueueRefusesIsThere(t *testing.T) {
	ids := map[string]bool{}
	for _, op := range served(t).operations {
		ids[op.id] = true
	}
	for id := range enqueues {
		require.True(t, ids[id], "roles.go: there is no operation %s", id)
	}
}

// A list without a bound, and a field that no schema knows, would let a request cost
// more memory than it is worth.
func TestEveryBodyIsBounded(t *testing.T) {
	for _, op := range served(t).operations {
		for media, body := range op.bodies {
			seen := map[*shape]bool{}
			var walk func(s *shape, at string)
			walk = func(s *shape, at string) {
				if s == nil || s.open || seen[s] {
					return
				}
				seen[s] = true
				require.NotEqual(t, -1, s.most, "%s takes %s: the list at %q needs maxItems, outside allOf", op.id, media, at)
				walk(s.items, at+"/0")
				for name, field := range s.fields {
					walk(field, at+"/"+name)
				}
				walk(s.others, at+"/*")
			}
			walk(body.shape, "")
		}
	}
}

// See pathParameter.
func TestNoPathParameterMayHoldAPercentSign(t *testing.T) {
	for _, op := range served(t).operations {
		for _, p := range op.params {
			if p.in == "path" {
				require.NotEmpty(t, p.check([]string{"a%41"}), "%s: %s needs a pattern without %%", op.id, p.name)
			}
		}
	}
}

func TestADescriptionThatCannotBeHeldToIsRefused(t *testing.T) {
	_, err := readContract([]byte("paths: {/a: {get: {parameters: [{name: f, in: query, schema: {type: object}}]}}}"))
	require.ErrorContains(t, err, "GET /a: parameter f: objects are not supported")
	_, err = readContract([]byte("paths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: nonsense}}}}}}}"))
	require.ErrorContains(t, err, "POST /a")
	_, err = readContract([]byte("a: [b"))
	require.ErrorContains(t, err, "read openapi.yaml")
}

// bodyOf is a body as a schema in YAML describes it.
func bodyOf(t *testing.T, schema string) *body {
	t.Helper()
	c, err := readContract([]byte("paths: {/b: {post: {operationId: b, requestBody: {content: {application/json: {schema: " + schema + "}}}}}}"))
	require.NoError(t, err)
	return c.find("POST", "/b").bodies[jsonType]
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
		wrong          fieldErrors
	}{
		{"a good one passes", `{"name":"a","data":[1,{"x":null}],"tags":["a","b"],"priority":{"weight":5}}`, nil},
		{"a missing field", `{}`, fieldErrors{{"/name", "is required"}}},
		{"unknown fields", `{"name":"a","b":[1],"c/d":{}}`, fieldErrors{{"/b", "is not known here"}, {"/c~1d", "is not known here"}}},
		{"an unknown field of one of several forms", `{"name":"a","priority":{"wait":1}}`, fieldErrors{{"/priority/wait", "is not known here"}}},
		{"another type", `{"name":1}`, fieldErrors{{"/name", "must be string, got number"}}},
		{"null is a type", `{"name":null}`, fieldErrors{{"/name", "must be string, got null"}}},
		{"none of several types", `{"name":"a","priority":true}`, fieldErrors{{"/priority", "must be string, integer or object, got boolean"}}},
		{"the form that was meant is explained", `{"name":"a","priority":101}`, fieldErrors{{"/priority", "must be at most 100"}}},
		{"too short, and no match", `{"name":""}`, fieldErrors{{"/name", "must have at least 1 character"}, {"/name", "must match ^[a-z]+$"}}},
		{"a pattern", `{"name":"a\nb"}`, fieldErrors{{"/name", "must match ^[a-z]+$"}}},
		{"negative", `{"name":"a","delay":-0.5}`, fieldErrors{{"/delay", "must be at least 0"}}},
		{"a fraction", `{"name":"a","maxAttempts":1.5}`, fieldErrors{{"/maxAttempts", "must be integer, got number"}}},
		{"several fields at once", `{"name":"a","maxAttempts":0,"delay":"x"}`, fieldErrors{{"/delay", "must be number, got string"}, {"/maxAttempts", "must be at least 1"}}},
		{"a word there is not", `{"name":"a","type":"cubic"}`, fieldErrors{{"/type", "must be fixed or linear"}}},
		{"a time that is none", `{"name":"a","runAt":"noon"}`, fieldErrors{{"/runAt", "must be a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z"}}},
		{"a list that is too long", `{"name":"a","tags":["a","b","c"]}`, fieldErrors{{"/tags", "must have at most 2 items"}}},
		{"not an object", `[]`, fieldErrors{{"", "must be object, got array"}}},
		{"nothing", ``, fieldErrors{{"", "must be a JSON document, and this one ends too early"}}},
		{"half of it", `{"name":"a"`, fieldErrors{{"", "must be a JSON document, and this one ends too early"}}},
		{"two of them", `{"name":"a"}{}`, fieldErrors{{"", "must be one JSON document, and something follows it"}}},
		{"a field twice", `{"name":"a","name":"b"}`, fieldErrors{{"/name", "is given twice"}}},
		{"a field of the data twice", `{"name":"a","data":{"x":{"y":1,"y":2}}}`, fieldErrors{{"/data/x/y", "is given twice"}}},
		{"the same field spelt in two ways", `{"name":"a","data":{"x":1,"\u0078":2}}`, fieldErrors{{"/data/x", "is given twice"}}},
		{"an infinite number", `{"name":"a","data":{"x":[0,1e999]}}`, fieldErrors{{"/data/x/1", "must be a number that fits a 64-bit float"}}},
		{"an infinite number where one is due", `{"name":"a","delay":-1e999}`, fieldErrors{{"/delay", "must be a number that fits a 64-bit float"}}},
		{"a number of many digits", `{"name":"a","data":` + strings.Repeat("1", 351) + `}`, fieldErrors{{"/data", "must be a number of at most 350 characters"}}},
		{"an escaped NUL", `{"name":"a","data":["\u0000"]}`, fieldErrors{{"/data/0", `must be free of \u0000, which Postgres cannot store`}}},
		{"an escaped NUL in a name", `{"name":"a","data":{"a\u0000":1}}`, fieldErrors{{"/data/a\x00", `must be free of \u0000, which Postgres cannot store`}}},
		{"an escaped backslash before u0000 is none", `{"name":"a","data":"\\u0000"}`, nil},
		{"bad UTF-8", "{\"name\":\"a\",\"data\":\"\xff\"}", fieldErrors{{"/data", "must be text in UTF-8"}}},
		{"half a surrogate", `{"name":"a","data":"\ud800"}`, fieldErrors{{"/data", "must be text in UTF-8"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := job.check([]byte(c.document), "")
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
		"\xef\xbb\xbf{\"name\":\"a\"}": "is not JSON: ",
		`{"name":"a"}]`:                "is not JSON: ",
	} {
		err := job.check([]byte(document), "")
		require.ErrorContains(t, err, want, "%q", document)
		require.IsType(t, fieldErrors{}, err)
	}
}

func TestNestingIsBounded(t *testing.T) {
	job := bodyOf(t, jobSchema)
	nested := func(n int) []byte {
		return []byte(`{"name":"a","data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}")
	}
	require.NoError(t, job.check(nested(maxDepth-1), ""))
	require.Equal(t, fieldErrors{{"", "must not nest deeper than 100 levels"}}, job.check(nested(maxDepth), ""))
	require.Equal(t, fieldErrors{{"", "must not nest deeper than 100 levels"}}, job.check(nested(100_000), ""))
}

func TestABatchIsReadOnlyAsFarAsItMayBe(t *testing.T) {
	batch := bodyOf(t, "{type: array, maxItems: 10000, items: "+jobSchema+"}")
	require.NoError(t, batch.check([]byte("["+strings.Repeat(`{"name":"a"},`, 9_999)+`{"name":"a"}]`), ""))
	require.Equal(t, fieldErrors{{"", "must have at most 10000 items"}},
		batch.check([]byte("["+strings.Repeat(`{"name":"a"},`, 10_000)+`{"name":"a"}]`), ""))

	wrong := batch.check([]byte("["+strings.Repeat(`{"name":"a"},`, 50)+`{"name":"a","delay":-1}]`), "")
	require.Equal(t, fieldErrors{{"/50/delay", "must be at least 0"}}, wrong)

	wrong = batch.check([]byte("["+strings.Repeat(`{"nome":"a"},`, 9_999)+`{}]`), "")
	require.Len(t, wrong, maxFieldErrors, "an answer lists so many and no more")
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
			_ = job.check(document, "")
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), int64(2*len(document)+1<<20), "of a document of %d bytes", len(document))
		})
	}
}

func TestShapesOfSchemasThatReferToThemselvesEnd(t *testing.T) {
	c, err := readContract([]byte(`
paths: {/b: {post: {operationId: b, requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Tree"}}}}}}}
components: {schemas: {Tree: {type: object, additionalProperties: false, properties: {below: {$ref: "#/components/schemas/Tree"}}}}}`))
	require.NoError(t, err)
	tree := c.find("POST", "/b").bodies[jsonType]
	require.NoError(t, tree.check([]byte(`{"below":{"below":{}}}`), ""))
	require.Equal(t, fieldErrors{{"/below/below/above", "is not known here"}}, tree.check([]byte(`{"below":{"below":{"above":1}}}`), ""))
}

func TestWhatCannotBeForeseenIsLeftToTheSchema(t *testing.T) {
	both := bodyOf(t, `{allOf: [{type: object, required: [a], properties: {a: {type: string}}}, {properties: {b: {type: integer}}}]}`)
	require.NoError(t, both.check([]byte(`{"a":"x","b":1,"c":[1]}`), ""))
	require.Equal(t, fieldErrors{{"/b", "must be integer, got string"}}, both.check([]byte(`{"a":"x","b":"y"}`), ""))
	require.Same(t, wholeShape.others, both.shape.others)
}
