// Package apitest proves the HTTP API from outside: requests through the real router
// against a real database. Every answer is held to openapi.yaml, whatever a test asks
// of it besides; a route that openapi.yaml does not have fails, and so does an operation
// that no test has called.
package apitest

import (
	"testing"

	"github.com/penstock/penstock/internal/dbtest"
)

func TestMain(m *testing.M) {
	dbtest.AtEnd(everyOperationWasCalled)
	dbtest.Main(m)
}
