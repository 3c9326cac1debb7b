package proof

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

func TestEveryMutantsGuardIsStillThere(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	require.NoError(t, installAudit(t.Context(), db.Pool))
	a := &testbed{pool: db.Pool}
	for _, m := range Mutants {
		if m.File != "" {
			source, err := os.ReadFile(filepath.Join("..", "..", "..", m.File))
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), m.Guard), "%s: %q in %s", m.Name, m.Guard, m.File)
			require.ErrorContains(t, applyMutants(t.Context(), a, []string{m.Name}), m.File)
			continue
		}
		require.NoError(t, applyMutants(t.Context(), a, []string{m.Name}), m.Name)
	}
	require.ErrorContains(t, applyMutants(t.Context(), a, []string{"fence"}), "does not contain the guard", "it is removed already")
	require.ErrorContains(t, applyMutants(t.Context(), a, []string{"luck"}), `no mutant is called "luck"`)
	for _, m := range Mutants {
		_, err := (&Options{Nemeses: []string{m.Nemesis}}).selectNemeses()
		require.True(t, err == nil || m.Nemesis == "", m.Name)
	}
}

func TestEveryMutantOfTheLibraryCompiles(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	require.NoError(t, err)
	for _, m := range Mutants {
		if m.File == "" {
			continue
		}
		original := filepath.Join(root, m.File)
		source, err := os.ReadFile(original)
		require.NoError(t, err)
		mutated, overlay := filepath.Join(t.TempDir(), m.File), filepath.Join(t.TempDir(), "overlay.json")
		require.NoError(t, os.WriteFile(mutated, []byte(strings.Replace(string(source), m.Guard, m.Instead, 1)), 0o600))
		replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(overlay, replace, 0o600))
		build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, ".")
		build.Dir = root
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s: %s", m.Name, out)
	}
}

func TestARunIsRefusedForWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for text, opts := range map[string]Options{
		"the duration must be 10s to 24h, got 1s": {Duration: 1e9},
		"the lease must be 2s to 1m, got 1s":      {Duration: 20e9, Lease: 1e9},
		"the jobs must be 1 to":                   {Duration: 20e9, Jobs: -1},
		"the workers must be 1 to 32, got 33":     {Duration: 20e9, Workers: 33},
		"no command for child processes":          {Duration: 20e9},
		"this build has no failpoints":            {Duration: 20e9, Failpoint: 7},
		`no nemesis is called "locusts"`:          {Duration: 20e9, Child: []string{"true"}, Nemeses: []string{"locusts"}},
	} {
		_, err := Run(t.Context(), opts)
		require.ErrorContains(t, err, text)
	}
}
