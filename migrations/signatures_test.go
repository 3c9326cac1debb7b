package migrations

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// broken lists the released signatures that current does not serve any more. A signature
// may only grow at its end, by arguments with defaults.
func broken(released, current string) (lines []string) {
	for _, old := range signatures(released) {
		served := false
		for _, line := range signatures(current) {
			served = served || serves(old, line)
		}
		if !served {
			lines = append(lines, old)
		}
	}
	return lines
}

func signatures(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func serves(old, current string) bool {
	if old == current {
		return true
	}
	oldHead, oldResult, _ := strings.Cut(old, ") RETURNS ")
	head, result, _ := strings.Cut(current, ") RETURNS ")
	added, ok := strings.CutPrefix(head, oldHead)
	if !ok || result != oldResult {
		return false
	}
	if !strings.HasSuffix(oldHead, "(") {
		if added, ok = strings.CutPrefix(added, ", "); !ok {
			return false
		}
	}
	arguments, err := splitArguments("(" + added + ")")
	for _, a := range arguments {
		if !strings.Contains(a, " DEFAULT ") {
			return false
		}
	}
	return err == nil
}

func TestTheReleasedSignaturesAreServed(t *testing.T) {
	released, err := os.ReadFile("signatures.released.txt")
	require.NoError(t, err)
	current, err := os.ReadFile("signatures.txt")
	require.NoError(t, err)
	require.Empty(t, broken(string(released), string(current)),
		"a public signature may only grow at its end, by arguments with defaults: give the changed function a new name and keep the old one")
}

func TestASignatureMayOnlyGrowAtItsEndByDefaults(t *testing.T) {
	const released = "penstock.f(a integer, b text DEFAULT 'x, y'::text) RETURNS bigint"
	for _, c := range []struct {
		name, current string
		served        bool
	}{
		{"unchanged", "f(a integer, b text DEFAULT 'x, y'::text) RETURNS bigint", true},
		{"an argument with a default", "f(a integer, b text DEFAULT 'x, y'::text, c integer[] DEFAULT '{1,2}'::integer[]) RETURNS bigint", true},
		{"an argument without a default", "f(a integer, b text DEFAULT 'x, y'::text, c integer) RETURNS bigint", false},
		{"an argument in the middle", "f(a integer, c integer DEFAULT 1, b text DEFAULT 'x, y'::text) RETURNS bigint", false},
		{"another result", "f(a integer, b text DEFAULT 'x, y'::text) RETURNS integer", false},
		{"another default", "f(a integer, b text DEFAULT 'z'::text) RETURNS bigint", false},
		{"another name", "g(a integer, b text DEFAULT 'x, y'::text) RETURNS bigint", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.served, len(broken(released, "penstock."+c.current)) == 0)
		})
	}
	require.Empty(t, broken("penstock.f() RETURNS void", fmt.Sprintf("penstock.f(a integer DEFAULT %d) RETURNS void", 1)))
}
