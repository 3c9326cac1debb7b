package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/command/commandtest"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { commandtest.Main(m, "penstock-lab", main) }

func TestTheDemoIndexesATreeAndTheServerStaysUp(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	source := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(source, "a.go"), []byte("package a\n\nfunc F() {}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "broken.go"), []byte("package\n"), 0o600))
	p := commandtest.Start(t, "penstock-lab", []string{"DATABASE_URL=" + db.URL}, "demo", "--listen", "127.0.0.1:0", "--source", source)
	p.Await(t, `serving +http://`)
	p.Await(t, `Indexing .*: 2 files in 1 package\.`)
	p.Await(t, `1 done, 1 dead|2 done, 1 dead`)
	p.Await(t, `The server stays up\. What to type next`)
	p.Await(t, `^  penstock dlq list index-go-source$`)
	p.Signal(t, syscall.SIGTERM)
	require.Equal(t, command.ExitDone, p.Exit(t))
}

func TestTheCommandsToTypeNextNameTheProgramInTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "penstock", userProgram(filepath.Join(dir, "penstock-lab")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "penstock"), nil, 0o700))
	require.Equal(t, filepath.Join(dir, "penstock"), userProgram(filepath.Join(dir, "penstock-lab")))
}
