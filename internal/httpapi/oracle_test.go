package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

var (
	routeParameter = regexp.MustCompile(`:([A-Za-z]+)`)
	wholeNumber    = regexp.MustCompile(`([:\[,])(-?[0-9]{1,15})([,}\]])`)
)

// A JSON Schema library reads openapi.yaml too, and agrees with ours about every body.
func TestBodiesAreJudgedAsJSONSchemaDoes(t *testing.T) {
	t.Parallel()
	var document any
	require.NoError(t, yaml.Unmarshal(openapi.Spec, &document))
	text, err := json.Marshal(document)
	require.NoError(t, err)
	document, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("openapi:", document))

	type body struct {
		ours   *validate.Schema
		theirs *jsonschema.Schema
	}
	var bodies []body
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	operations := served(t).Operations
	for _, route := range slices.Sorted(maps.Keys(operations)) {
		op := operations[route]
		for media, ours := range op.Bodies {
			path := routeParameter.ReplaceAllString(op.Route, "{$1}")
			theirs, err := compiler.Compile("openapi:#/paths/" + escape.Replace(path) + "/" + strings.ToLower(op.Method) +
				"/requestBody/content/" + escape.Replace(media) + "/schema")
			require.NoError(t, err)
			bodies = append(bodies, body{ours, theirs})
		}
	}
	slices.SortFunc(bodies, func(a, b body) int { return strings.Compare(a.theirs.Location, b.theirs.Location) })

	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(bodies).Draw(t, "body")
		text, err := json.Marshal(fuzzed(t, b.ours, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "whole numbers as floats") {
			text = wholeNumber.ReplaceAll(text, []byte("${1}$2.0$3"))
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		theirs := b.theirs.Validate(value)
		_, ours := b.ours.Check(text, "")
		if (theirs == nil) != (ours == nil) {
			t.Fatalf("%s\nours: %v\ntheirs: %v", text, ours, theirs)
		}
	})
}
