package http_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// contract is openapi.yaml, and which of its operations were called with success.
var contract = sync.OnceValue(func() *described {
	d := &described{compiler: jsonschema.NewCompiler(), called: map[string]bool{}}
	if err := yaml.Unmarshal(openapi.Spec, &d.document); err != nil {
		panic(err)
	}
	closeSchemas(d.document)
	text, err := json.Marshal(d.document)
	if err != nil {
		panic(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi:", document); err != nil {
		panic(err)
	}
	return d
})

// open are fields that hold anything, or whose schema is closed already.
var open = []string{"data", "facts", "before", "after", "result", "errors", "settings", "limits", "retryStrategy"}

// closeSchemas makes every schema with properties refuse others, so that an answer has
// no field that is not described. openapi.yaml has no allOf, which would need more.
func closeSchemas(node any) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			closeSchemas(item)
		}
	case map[string]any:
		if n["allOf"] != nil {
			panic("closeSchemas does not know allOf")
		}
		properties, schema := n["properties"].(map[string]any)
		if schema && n["additionalProperties"] == nil {
			n["additionalProperties"] = false
		}
		for key, value := range n {
			if key != "properties" || !schema {
				closeSchemas(value)
			}
		}
		for name, property := range properties {
			if !slices.Contains(open, name) {
				closeSchemas(property)
			}
		}
	}
}

type described struct {
	document map[string]any

	mu       sync.Mutex // guards what follows
	compiler *jsonschema.Compiler
	called   map[string]bool
}

// node follows keys from the document's root, and references at each step. It returns
// the node and its JSON pointer; nil if there is none.
func (d *described) node(keys ...string) (node map[string]any, pointer string) {
	node = d.document
	for _, key := range keys {
		node, _ = node[key].(map[string]any)
		pointer += "/" + pointerEscapes.Replace(key)
		if target, ok := node["$ref"].(string); ok {
			parts := strings.Split(strings.TrimPrefix(target, "#/"), "/")
			node, pointer = d.node(parts...)
		}
	}
	return node, pointer
}

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	parameterPattern = regexp.MustCompile(`:([A-Za-z]+)`)
	methods          = []string{"get", "put", "post", "delete", "patch"}
)

// operation finds what the router made of a request, and its path in openapi.yaml.
func (d *described) operation(method, route string) (path string, op map[string]any) {
	path = parameterPattern.ReplaceAllString(route, "{$1}")
	op, _ = d.node("paths", path, strings.ToLower(method))
	return path, op
}

// operations calls f with every operation of openapi.yaml, in order.
func (d *described) operations(f func(method, path string, op map[string]any)) {
	paths, _ := d.node("paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range methods {
			if op, _ := d.node("paths", path, method); op != nil {
				f(method, path, op)
			}
		}
	}
}

// check holds an answer to the description of the operation that gave it.
func (d *described) check(t *testing.T, request *http.Request, route string, recorder *httptest.ResponseRecorder) {
	t.Helper()
	path, op := d.operation(request.Method, route)
	require.NotNil(t, op, "%s %s is not in openapi.yaml", request.Method, path)
	d.mu.Lock()
	defer d.mu.Unlock()
	if recorder.Code < 400 {
		d.called[op["operationId"].(string)] = true
	}
	if err := d.checkResponse(strings.ToLower(request.Method), path, recorder); err != nil {
		t.Errorf("%s %s answered %d against openapi.yaml: %v", request.Method, request.URL, recorder.Code, err)
		t.Log(recorder.Body.String())
	}
}

// checkResponse returns what is wrong with an answer: a status, header or media type that
// is not described, or a body that its schema refuses. REQUIRES: mu
func (d *described) checkResponse(method, path string, recorder *httptest.ResponseRecorder) error {
	keys := []string{"paths", path, method, "responses", strconv.Itoa(recorder.Code)}
	response, _ := d.node(keys...)
	if response == nil {
		keys[4] = "default"
		response, _ = d.node(keys...)
	}
	if response == nil {
		return fmt.Errorf("the status is not described")
	}
	headers, _ := response["headers"].(map[string]any)
	for name := range headers {
		header, _ := d.node(append(keys, "headers", name)...)
		if header["required"] == true && recorder.Header().Get(name) == "" {
			return fmt.Errorf("header %s is missing", name)
		}
	}
	content, _ := response["content"].(map[string]any)
	if content == nil {
		if recorder.Body.Len() > 0 {
			return fmt.Errorf("a body is not described")
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(recorder.Header().Get("Content-Type"))
	if err != nil {
		return err
	}
	schema, _ := d.node(append(keys, "content", media, "schema")...)
	if content[media] == nil {
		return fmt.Errorf("media type %s is not described", media)
	}
	if schema == nil || !strings.HasSuffix(media, "json") {
		return nil
	}
	_, pointer := d.node(append(keys, "content", media, "schema")...)
	compiled, err := d.compiler.Compile("openapi:#" + pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(recorder.Body.Bytes()))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// everyOperationWasCalled fails the run of the whole package for those that were not.
func everyOperationWasCalled() error {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return nil // not all tests ran
		}
	}
	d := contract()
	var missed []string
	d.operations(func(method, path string, op map[string]any) {
		if id := op["operationId"].(string); !d.called[id] {
			missed = append(missed, fmt.Sprintf("%s %s (%s)", strings.ToUpper(method), path, id))
		}
	})
	if missed != nil {
		return fmt.Errorf("no test has called with success:\n  %s", strings.Join(missed, "\n  "))
	}
	return nil
}

func TestEveryRouteIsDescribed(t *testing.T) {
	var undescribed []string
	for _, route := range httpapi.New(httpapi.Deps{}).Routes() {
		if slices.Contains(pages, route.Path) {
			continue
		}
		if path, op := contract().operation(route.Method, route.Path); op == nil {
			undescribed = append(undescribed, route.Method+" "+path)
		}
	}
	require.Empty(t, undescribed)
}

// pages are the parts of the API page, which openapi.yaml describes as one.
var pages = []string{"/docs/*"}

func TestOperationsAreNamedOnceAndTagged(t *testing.T) {
	named := map[string]string{}
	tags := map[string]bool{}
	for _, tag := range contract().document["tags"].([]any) {
		tags[tag.(map[string]any)["name"].(string)] = true
	}
	contract().operations(func(method, path string, op map[string]any) {
		id, _ := op["operationId"].(string)
		require.Regexp(t, `^[a-z][A-Za-z]+$`, id, "%s %s", method, path)
		require.Empty(t, named[id], id)
		named[id] = path
		require.NotEmpty(t, op["summary"], id)
		require.Len(t, op["tags"], 1, id)
		require.True(t, tags[op["tags"].([]any)[0].(string)], "%s: tag %s has no description", id, op["tags"])
	})
	require.NotEmpty(t, named)
}

// A checker that finds nothing wrong would be no proof.
func TestAnAnswerAgainstTheDescriptionIsFound(t *testing.T) {
	d := contract()
	for name, c := range map[string]struct {
		status            int
		media, body, want string
	}{
		"as described":            {200, "application/json", `{"items": []}`, ""},
		"a field too many":        {200, "application/json", `{"items": [], "extra": 1}`, "additional properties 'extra' not allowed"},
		"a field too few":         {200, "application/json", `{}`, "missing property 'items'"},
		"a field of a wrong type": {200, "application/json", `{"items": 1}`, "got number, want array"},
		"a wrong media type":      {200, "text/plain", `{"items": []}`, "media type text/plain is not described"},
		"no JSON":                 {200, "application/json", `{`, "unexpected EOF"},
		"a problem of no shape":   {404, "application/problem+json", `{"title": 3}`, "got number, want string"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			recorder.Header().Set("Content-Type", c.media)
			recorder.WriteHeader(c.status)
			recorder.Body.WriteString(c.body)
			d.mu.Lock()
			defer d.mu.Unlock()
			err := d.checkResponse("get", "/api/v1/queues", recorder)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(http.StatusTeapot)
	require.ErrorContains(t, d.checkResponse("get", "/healthz", recorder), "the status is not described")
}
