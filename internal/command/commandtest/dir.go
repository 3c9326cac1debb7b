// Package commandtest runs a command's real process in its tests: the test binary is the
// command when it is called by the command's name. Scripts run against a database each.
package commandtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// quickExit keeps the race detector, in GORACE, from waiting a second at the end of
// every process. It has printed what it found by then.
const quickExit = "atexit_sleep_ms=0"

// Main is the program when the test binary is called by its name, and else runs the tests. Call
// it from TestMain.
func Main(m *testing.M, name string, program func()) {
	if filepath.Base(os.Args[0]) == name {
		program()
		return
	}
	testkit.Main(m)
}

// ProgramDir makes a directory with the program in it, for PATH.
func ProgramDir(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(dir, name)))
	return dir
}
