// Package policytest holds the tests of retry policies, circuit breakers and
// priorities as their users meet them: through the library, and through the SQL
// functions where an order or a moment has to be exact. Time passes by moving
// run_at and next_probe_at, never by waiting.
package policytest

import (
	"testing"

	"github.com/penstock/penstock/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
