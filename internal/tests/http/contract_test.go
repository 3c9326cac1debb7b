package http_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// contract is openapi.yaml, and which of its operations were called with success.
var contract = sync.OnceValue(func() *described {
	document, err := libopenapi.NewDocument(openapi.Spec)
	if err != nil {
		panic(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		panic(err)
	}
	v, errs := validator.NewValidator(document, config.WithStrictMode(), config.WithFormatAssertions(),
		config.WithStrictIgnorePaths(open...))
	if len(errs) > 0 {
		panic(errs)
	}
	return &described{model: &model.Model, validator: v, called: map[string]bool{}}
})

// open is where anything may stand, or, as in a strategy, its schema is closed already.
var open = func() (paths []string) {
	for _, field := range []string{"data", "facts", "before", "after", "result", "errors", "settings", "limits", "retryStrategy"} {
		paths = append(paths, "$.body."+field+".**", "$.body.**."+field+".**")
	}
	return append(paths, "$.headers.**")
}()

type described struct {
	model     *v3.Document
	validator validator.Validator

	mu     sync.Mutex // guards called, and the validator, whose caches are not ours to trust
	called map[string]bool
}

// operation finds what the router made of a request: its path in openapi.yaml.
func (d *described) operation(method, route string) (path string, item *v3.PathItem, op *v3.Operation) {
	path = parameterPattern.ReplaceAllString(route, "{$1}")
	item = d.model.Paths.PathItems.GetOrZero(path)
	if item == nil {
		return path, nil, nil
	}
	op = item.GetOperations().GetOrZero(strings.ToLower(method))
	return path, item, op
}

var parameterPattern = regexp.MustCompile(`:([A-Za-z]+)`)

// check holds an answer to the description of the operation that gave it.
func (d *described) check(t *testing.T, request *http.Request, route string, recorder *httptest.ResponseRecorder) {
	t.Helper()
	path, item, op := d.operation(request.Method, route)
	require.NotNil(t, op, "%s %s is not in openapi.yaml", request.Method, path)
	response := recorder.Result()
	d.mu.Lock()
	defer d.mu.Unlock()
	if response.StatusCode < 400 {
		d.called[op.OperationId] = true
	}
	_, wrong := d.validator.GetResponseBodyValidator().ValidateResponseBodyWithPathItem(request, response, item, path)
	for _, w := range wrong {
		t.Errorf("%s %s answered %d against openapi.yaml: %s: %s", request.Method, request.URL, response.StatusCode, w.Message, w.Reason)
		for _, cause := range w.SchemaValidationErrors {
			t.Errorf("  %s: %s", cause.FieldPath, cause.Reason)
		}
	}
	if wrong != nil {
		t.Log(recorder.Body.String())
	}
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
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			if !d.called[op.OperationId] {
				missed = append(missed, fmt.Sprintf("%s %s (%s)", strings.ToUpper(method), path, op.OperationId))
			}
		}
	}
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
		if path, _, op := contract().operation(route.Method, route.Path); op == nil {
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
	for _, tag := range contract().model.Tags {
		tags[tag.Name] = true
	}
	for path, item := range contract().model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			require.Regexp(t, `^[a-z][A-Za-z]+$`, op.OperationId, "%s %s", method, path)
			require.Empty(t, named[op.OperationId], op.OperationId)
			named[op.OperationId] = path
			require.NotEmpty(t, op.Summary, op.OperationId)
			require.Len(t, op.Tags, 1, op.OperationId)
			require.True(t, tags[op.Tags[0]], "%s: tag %s has no description", op.OperationId, op.Tags[0])
		}
	}
}
