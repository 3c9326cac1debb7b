package proof

import (
	"os"
	"testing"

	"github.com/penstock/penstock/internal/testkit"
)

// childEnv, when set, makes this test binary a child process.
const childEnv = "PENSTOCK_PROOF_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(Child(os.Stdin, nil))
	}
	testkit.Main(m)
}
