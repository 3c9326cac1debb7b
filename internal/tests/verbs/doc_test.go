// Package sqltest_test proves what the verbs in schema penstock promise as SQL
// functions on a real PostgreSQL, without the library: what psql, or a worker in
// another language, can rely on. Tests that another package makes on its way
// (that a Go worker retries, say) are not repeated here.
//
// No test waits for time to pass: the clock is the database's, so tests move the
// rows' times into the past instead.
package sqltest_test

import (
	"flag"
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) {
	flag.Parse()
	defaults := map[string]string{"rapid.steps": "70", "rapid.nofailfile": "true"}
	if testkit.IsLong() {
		defaults["rapid.checks"] = "50"
	}
	modest(defaults)
	testkit.Main(m)
}

// modest lowers defaults of rapid, whose steps are calls to Postgres here; a flag
// on the command line wins, as in -rapid.checks=1000 -rapid.seed=42.
func modest(defaults map[string]string) {
	flag.Visit(func(f *flag.Flag) { delete(defaults, f.Name) })
	for name, value := range defaults {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}
