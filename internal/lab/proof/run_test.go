package proof

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
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

// timed are the kinds of violations that a machine which is busy with something else can
// bring about; a test does not fail for them, `make proof` does.
var timed = []string{"late rescue", "late claim", "stalled", "buried alive"}

func TestNoPromiseBreaksInAShortRunOfEveryFault(t *testing.T) { // P1–P13
	testkit.Long(t)
	report := prove(t, Options{Duration: 20 * time.Second, Lease: 3 * time.Second, Seed: 1, Jobs: 15_000})
	for _, kind := range timed {
		delete(report.Violations, kind)
	}
	require.Empty(t, report.Violations, "replay it with `make proof DURATION=20s SEED=1 ARGS='--lease 3s --jobs 15000'`")
	require.Positive(t, report.Completed)
	require.Positive(t, report.Strikes["kill"])
	require.Positive(t, report.Strikes["crash"])
}
