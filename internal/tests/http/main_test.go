// Package http_test proves the HTTP API from outside: requests through the real router
// against a real database. Every answer is held to openapi.yaml, whatever a test asks
// of it besides; a route that openapi.yaml does not have fails, and so does an operation
// that no test has called.
package http_test

import (
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.AtEnd(everyOperationWasCalled)
	testkit.Main(m)
}
