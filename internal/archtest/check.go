package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Check reads every Go file of the module at the root of files and returns a sentence
// per import that Table or Fences forbid and per package that Table does not list.
// Folders that the go command ignores and nested modules are left out. An error means
// that a file could not be read or parsed.
func Check(files fs.FS) ([]string, error) {
	var found []string
	unlisted := map[string]bool{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && ignored(files, name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		owner := packageOf(path.Dir(name))
		row := rowOf(owner)
		if row == nil && !unlisted[owner] {
			unlisted[owner] = true
			found = append(found, fmt.Sprintf("%s: package %s is not in archtest's table: add a row that says what it may import, and why.", name, owner))
		}
		violations, err := checkFile(files, name, owner, row)
		found = append(found, violations...)
		return err
	})
	return found, err
}

// checkFile returns what one file imports against the rules. A package without a row
// is held to the fences only.
func checkFile(files fs.FS, name, owner string, row *Row) (found []string, err error) {
	source, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	positions := token.NewFileSet()
	parsed, err := parser.ParseFile(positions, name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		why := fenced(owner, imported)
		if ours, ok := ourPackage(imported); ok && row != nil && !row.allows(owner, ours, test) {
			imported, why = ours, row.Why
		}
		if why != "" {
			line := positions.Position(spec.Pos()).Line
			found = append(found, fmt.Sprintf("%s:%d: %s may not import %s: %s.", name, line, owner, imported, why))
		}
	}
	return found, nil
}

// allows reports whether owner, one of the row's packages, may import ours.
func (r *Row) allows(owner, ours string, test bool) bool {
	if slices.Contains(r.May, ours) {
		return true
	}
	return test && (ours == owner || slices.Contains(ForTests, ours))
}

// fenced says why owner may not import library; empty when it may.
func fenced(owner, library string) string {
	for _, fence := range Fences {
		below := library == fence.Library || strings.HasPrefix(library, fence.Library+"/")
		if below && !slices.Contains(fence.Inside, owner) {
			return fence.Why
		}
	}
	return ""
}

func rowOf(owner string) *Row {
	for i := range Table {
		if slices.Contains(Table[i].Packages, owner) {
			return &Table[i]
		}
	}
	return nil
}

// packageOf names the package in a folder of the module as Table does.
func packageOf(dir string) string {
	if dir == "." {
		return Root
	}
	return dir
}

// ourPackage names an imported package as Table does, if it is of this module.
func ourPackage(imported string) (string, bool) {
	if imported == Module {
		return Root, true
	}
	return strings.CutPrefix(imported, Module+"/")
}

// ignored reports whether dir holds nothing of this module, by the go command's rules.
func ignored(files fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(files, path.Join(dir, "go.mod"))
	return err == nil
}
