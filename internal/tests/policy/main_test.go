// Package policy_test holds the tests of retry policies, circuit breakers and
// priorities as their users meet them: through the library, and through the SQL
// functions where an order or a moment has to be exact. Time passes by moving
// run_at and next_probe_at, never by waiting.
package policy_test

import (
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
