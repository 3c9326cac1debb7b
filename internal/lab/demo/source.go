package demo

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// file is a .go file. Paths are slash-separated and relative to the tree, so that the
// stored paths do not depend on the tree's location.
type file struct {
	path string
	size int64 // bytes
}

// folder is a directory with .go files: a package.
type folder struct {
	dir   string // "." is the tree's own root
	files []file
}

// findSource returns the directory to index: the given one, else GOROOT by the go
// command, else the GOROOT of this build.
func findSource(ctx context.Context, given string) (string, error) {
	root := given
	if root == "" {
		if answer, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output(); err == nil {
			root = strings.TrimSpace(string(answer))
		}
	}
	if root == "" {
		root = build.Default.GOROOT
	}
	if root == "" {
		return "", errors.New("there is no Go installation to index: name a directory of Go files with --source")
	}
	info, err := os.Stat(root)
	if err != nil {
		return "", fmt.Errorf("%w: name a directory of Go files with --source", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory: name one with Go files with --source", root)
	}
	return root, nil
}

// scan lists the tree's .go files by folder, in order of paths. It follows links to
// directories, because some distributions link GOROOT/src. It lists each directory
// once, so circular links do no harm.
func scan(root string) ([]folder, error) {
	s := walker{seen: map[string]bool{}}
	if err := s.walk(root, "."); err != nil {
		return nil, fmt.Errorf("list %s: %w", root, err)
	}
	if len(s.folders) == 0 {
		return nil, fmt.Errorf("%s holds no .go file: name a directory of Go files with --source", root)
	}
	return s.folders, nil
}

type walker struct {
	folders []folder
	seen    map[string]bool // directories listed, by their real paths
}

func (s *walker) walk(at, dir string) error {
	at, err := filepath.EvalSymlinks(at)
	if err != nil || s.seen[at] {
		return err
	}
	s.seen[at] = true
	entries, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	here := folder{dir: dir}
	var below []string
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(at, entry.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist) || !utf8.ValidString(entry.Name()):
			// A dangling link, a file just removed, or a name that Postgres cannot store.
		case err != nil:
			return err
		case info.IsDir():
			below = append(below, entry.Name())
		case info.Mode().IsRegular() && path.Ext(entry.Name()) == ".go":
			here.files = append(here.files, file{path.Join(dir, entry.Name()), info.Size()})
		}
	}
	if len(here.files) > 0 {
		s.folders = append(s.folders, here)
	}
	for _, name := range below {
		if err := s.walk(filepath.Join(at, name), path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
