package demo

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestAFileIsCountedByItsTopLevelDeclarations(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         counts
	}{
		{"nothing but a package", "package a\n", counts{lines: 1}},
		{"the last line needs no line feed", "package a\n\nvar x int", counts{lines: 3, vars: 1}},
		{"every name of a specification counts", "package a\nvar x, y = 1, 2\nconst (\n\tp, q = 1, 2\n\tr = 3\n)\n", counts{lines: 6, vars: 2, consts: 3}},
		{"methods are functions", "package a\ntype T struct{}\nfunc (T) m() {}\nfunc f() { var x int; _ = x }\n", counts{lines: 4, types: 1, funcs: 2}},
		{"each import counts", "package a\nimport (\n\t\"fmt\"\n\t. \"os\"\n)\nimport \"C\"\n", counts{lines: 6, imports: 3}},
		{"names that are declared twice are the compiler's business", "package a\nvar x, x int\n", counts{lines: 2, vars: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseFile(fstest.MapFS{"a.go": {Data: []byte(c.source)}}, "a.go")
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestAFileThatIsAtFaultSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, path, source, class, message string
	}{
		{"the first error stands for all", "src/a.go", "package a\nfunc f( {\n}}}\n", "SyntaxError", "expected ')', found '{' (line 2, column 9)"},
		{"an empty file has no package", "src/a.go", "", "SyntaxError", "expected 'package', found 'EOF' (line 1, column 1)"},
		{"what cannot be printed or stored is replaced", "src/a.go", "package a\nvar x = \x00\xff\n", "SyntaxError", "illegal character NUL (line 2, column 9)"},
		{"a file may be gone", "src/gone.go", "package a", "NotFoundError", "the tree has no such file"},
		{"a path may not leave the tree", "../a.go", "package a", "NotFoundError", "the tree has no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseFile(fstest.MapFS{"src/a.go": {Data: []byte(c.source)}}, c.path)
			var fault *fileError
			require.ErrorAs(t, err, &fault)
			require.Equal(t, c.class, fault.ErrorClass())
			require.Equal(t, c.message, fault.Error())
		})
	}
}

func TestTheDetailHasEveryErrorOfAFile(t *testing.T) {
	_, err := parseFile(fstest.MapFS{"src/a.go": {Data: []byte("package a\nvar 1\nvar 2\n")}}, "src/a.go")
	var fault *fileError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, "src/a.go:2:5: expected 'IDENT', found 1\nsrc/a.go:3:5: expected 'IDENT', found 2", fault.ErrorDetail())
}

func TestAFaultThatMayPassIsNotTheFiles(t *testing.T) {
	_, err := parseFile(os.DirFS(plant(t, map[string]string{"a.go/b.go": ""})), "a.go") // a directory cannot be read
	require.Error(t, err)
	var fault *fileError
	require.NotErrorAs(t, err, &fault)
}
