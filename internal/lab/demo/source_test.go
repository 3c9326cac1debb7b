package demo

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// plant writes files, by slash-separated path, into a new directory.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
	return root
}

func TestScanListsGoFilesByFolder(t *testing.T) {
	root := plant(t, map[string]string{
		"root.go": "package r", "README.md": "", "src/b/b.go": "package b", "src/a/two.go": "package a",
		"src/a/one.go": "package a\n", "src/a/testdata/x.go": "package x", "src/a/not_a_file.go/inside.go": "package n",
	})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling.go")))
	require.NoError(t, os.WriteFile(filepath.Join(root, "\xff.go"), nil, 0o644))

	folders, err := scan(root)
	require.NoError(t, err)
	require.Equal(t, []folder{
		{".", []file{{"root.go", 9}}},
		{"src/a", []file{{"src/a/one.go", 10}, {"src/a/two.go", 9}}},
		{"src/a/not_a_file.go", []file{{"src/a/not_a_file.go/inside.go", 9}}},
		{"src/a/testdata", []file{{"src/a/testdata/x.go", 9}}},
		{"src/b", []file{{"src/b/b.go", 9}}},
	}, folders)
}

func TestScanFollowsLinksAndNeverInCircles(t *testing.T) {
	elsewhere := plant(t, map[string]string{"fmt/print.go": "package fmt"})
	root := plant(t, map[string]string{"VERSION": ""})
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(root, "src")))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(elsewhere, "fmt", "up")))

	folders, err := scan(root)
	require.NoError(t, err)
	require.Equal(t, []folder{{"src/fmt", []file{{"src/fmt/print.go", 11}}}}, folders)
}

func TestASourceThatCannotBeIndexedNamesTheFlag(t *testing.T) {
	root := plant(t, map[string]string{"a.txt": ""})
	for name, given := range map[string]string{
		"a directory that is not there": filepath.Join(root, "gone"),
		"a file":                        filepath.Join(root, "a.txt"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := findSource(context.Background(), given)
			require.ErrorContains(t, err, given)
			require.ErrorContains(t, err, "--source")
		})
	}
	_, err := scan(root)
	require.ErrorContains(t, err, root+" holds no .go file")
	require.ErrorContains(t, err, "--source")
}

func TestTheSourceIsGoItselfUnlessGiven(t *testing.T) {
	root, err := findSource(context.Background(), "")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "src", "fmt", "print.go"))
}
