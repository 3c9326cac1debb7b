package proof

import (
	"os"
	"testing"
)

// childEnv, when set, makes this test binary a child process.
const childEnv = "PENSTOCK_PROOF_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(Child(os.Stdin, nil))
	}
	os.Exit(m.Run())
}
