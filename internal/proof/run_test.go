package proof

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prove makes a run whose children are this test binary.
func prove(t *testing.T, opts Options) *Report {
	t.Helper()
	opts.Child, opts.ChildEnv = []string{os.Args[0]}, []string{childEnv + "=1"}
	opts.Stage = func(stage string) { t.Log(stage) }
	report, err := Run(t.Context(), opts)
	if report != nil {
		var page bytes.Buffer
		require.NoError(t, report.WriteMarkdown(&page))
		t.Log("\n" + page.String())
	}
	if err != nil {
		require.ErrorIs(t, err, ErrBroken)
	}
	return report
}

func TestNoPromiseBreaksInAShortRunOfEveryFault(t *testing.T) { // P1–P13
	seed := uint64(time.Now().UnixNano()) % 1_000_000
	report := prove(t, Options{Duration: 20 * time.Second, Lease: 3 * time.Second, Seed: seed, Jobs: 15_000})
	require.Zero(t, report.Broken(), "replay it with `make proof DURATION=20s SEED=%d`", seed)
	require.Positive(t, report.Completed)
}
