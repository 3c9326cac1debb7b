package validate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADescriptionThatCannotBeHeldToIsRefused(t *testing.T) {
	_, err := Read([]byte("paths: {/a: {get: {parameters: [{name: f, in: query, schema: {type: object}}]}}}"))
	require.ErrorContains(t, err, "GET /a: parameter f: objects are not supported")
	_, err = Read([]byte("paths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: nonsense}}}}}}}"))
	require.ErrorContains(t, err, "POST /a: /paths/~1a/post/requestBody/content/application~1json/schema: type: \"nonsense\" is no type")
	for schema, why := range map[string]string{
		"{type: array, items: {type: string}}":                            "a list in a request needs maxItems",
		"{allOf: [{type: string}]}":                                       "allOf: this keyword is not supported",
		"{minimum: 1}":                                                    "a schema that demands something needs a type",
		"{oneOf: [{type: string}, {type: string, maxLength: 1}]}":         "two alternatives take a string",
		"{type: string, oneOf: [{type: string}]}":                         "oneOf beside other keywords is not supported",
		"{type: string, format: email}":                                   "email is not supported",
		"{type: object, properties: {a: {type: string, pattern: \"(\"}}}": "missing closing )",
	} {
		_, err := Read([]byte("paths: {/a: {post: {requestBody: {content: {application/json: {schema: " + schema + "}}}}}}"))
		require.ErrorContains(t, err, why)
	}
	_, err = Read([]byte("a: [b"))
	require.ErrorContains(t, err, "read openapi.yaml")
}

func TestSchemasMayReferToThemselves(t *testing.T) {
	d, err := Read([]byte(`
paths: {/b: {post: {operationId: b, requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Tree"}}}}}}}
components: {schemas: {Tree: {type: object, additionalProperties: false, properties: {below: {$ref: "#/components/schemas/Tree"}}}}}`))
	require.NoError(t, err)
	tree := d.Find("POST", "/b").Bodies[JSON]
	require.NoError(t, refusal(tree, []byte(`{"below":{"below":{}}}`)))
	require.Equal(t, FieldErrors{{"/below/below/above", "is not known here"}}, refusal(tree, []byte(`{"below":{"below":{"above":1}}}`)))
}
