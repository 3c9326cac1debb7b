package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// What is certain is right: readJSON and the schema, which have the last word, agree. Of
// every body that openapi.yaml describes, whatever comes.
func TestWhatIsCertainTheSchemaAllows(t *testing.T) {
	t.Parallel()
	operations := served(t).operations
	var all []*body
	for _, route := range slices.Sorted(maps.Keys(operations)) {
		for _, media := range slices.Sorted(maps.Keys(operations[route].bodies)) {
			all = append(all, operations[route].bodies[media])
		}
	}
	all = append(all, bodyOf(t, jobSchema), bodyOf(t, `{type: array, minItems: 1, maxItems: 2, items: {type: [integer, "null"], minimum: 0.1}}`),
		bodyOf(t, `{anyOf: [{type: string}, {type: string, maxLength: 1}, {type: number, maximum: 0.3}]}`))
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(all).Draw(t, "body")
		document, err := json.Marshal(fuzzed(t, b.schema, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if cut := rapid.IntRange(0, 40).Draw(t, "cut"); cut < len(document) && rapid.IntRange(0, 9).Draw(t, "torn") == 0 {
			document = slices.Concat(document[:cut], []byte(rapid.SampledFrom([]string{"", ",", "}", `"`, "1", " ", "\x00", "\xff"}).Draw(t, "by")), document[cut:])
		}
		if !b.certain.holds(document) {
			return
		}
		value, err := readJSON(document, b.shape, "")
		if err == nil {
			err = checkSchema(b.schema, value, "")
		}
		if err != nil {
			t.Fatalf("certain of %s, which is refused: %s", document, err)
		}
	})
}

func TestUsualJobsAreCertain(t *testing.T) {
	t.Parallel()
	batch := served(t).find("POST", "/api/v1/queues/:queueName/jobs/batch").bodies[jsonType].certain
	for document, certain := range map[string]bool{
		`[{"name":"deploy","data":{"a":[1,{"b":"ü\n"}]}}]`:                                 true,
		` [ {"name":"deploy"} , {"name":"a","delay":5000,"maxAttempts":3,"tags":["x"]} ] `: true,
		`[{"name":"deploy","priority":"high"},{"name":"deploy","priority":7}]`:             true,
		`[]`:                                            false,
		`[{}]`:                                          false,
		`[{"data":{}}]`:                                 false,
		`[{"name":"a b"}]`:                              false,
		`[{"name":"a","nane":1}]`:                       false,
		`[{"name":"a","name":"a"}]`:                     false,
		`[{"name":"a","maxAttempts":1.5}]`:              false,
		`[{"name":"a","delay":-1}]`:                     false,
		`[{"name":"a","data":{"b":1,"b":2}}]`:           false,
		`[{"name":"a","data":"\u0000"}]`:                false,
		`[{"name":"a","data":1e999}]`:                   false,
		`[{"name":"a"}] []`:                             false,
		`[{"name":"a"}`:                                 false,
		`[{"name":"a","runAt":"2026-01-31T12:00:00Z"}]`: false, // a format: the schema is asked
		`[{"name":"a","data":` + strings.Repeat("[", 200) + `]`:         false,
		`[` + strings.Repeat(`{"name":"a"},`, 10_000) + `{"name":"a"}]`: false,
	} {
		require.Equal(t, certain, batch.holds([]byte(document)), "%.80s", document)
	}
}

func BenchmarkCheckBatch(b *testing.B) {
	c, err := readContract(openapi.Spec)
	require.NoError(b, err)
	batch := c.find("POST", "/api/v1/queues/:queueName/jobs/batch").bodies[jsonType]
	for _, job := range []struct{ name, text string }{
		{"certain", `{"name":"deploy","data":{"text":"` + strings.Repeat("x", 90) + `"}}`},
		{"asked", `{"name":"deploy","data":{"text":"` + strings.Repeat("x", 90) + `"},"runAt":"2026-01-31T12:00:00Z"}`},
	} {
		document := fmt.Appendf(nil, "[%s%s]", strings.Repeat(job.text+",", 999), job.text)
		b.Run(job.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, batch.check(document, ""))
			}
		})
	}
}
