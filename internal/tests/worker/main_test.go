// Package worker_test breaks things and checks the promises P1–P13 of package
// penstock: worker processes that are killed or frozen, a server that crashes,
// replies that are lost after their commit, handlers that misbehave.
//
// All of it runs on real PostgreSQL. Worker processes are this test binary, run
// again as a child (child_test.go); connections that lose replies are those of
// internal/lab/wire.
package worker_test

import (
	"flag"
	"os"
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) {
	if setup := os.Getenv(childEnv); setup != "" {
		os.Exit(childMain(setup))
	}
	// These tests wait more than they work, whatever the number of cores.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	testkit.Main(m)
}
