package demo

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"strings"
	"unicode"
)

// counts is what one file declares at its top level, and its length.
type counts struct {
	lines, funcs, types, vars, consts, imports int64
}

// fileError is a fault of the file itself; a retry cannot help. The dead letter queue
// shows its class, `penstock job get` its detail.
type fileError struct {
	class, message, detail string
}

func (e *fileError) Error() string       { return e.message }
func (e *fileError) ErrorClass() string  { return e.class }
func (e *fileError) ErrorDetail() string { return e.detail }

// PackageIncomplete: some files of the package are not parsed yet. It is retried; its
// error class is the name of this type.
type PackageIncomplete struct {
	Missing, Files int64
}

func (e *PackageIncomplete) Error() string {
	return fmt.Sprintf("%d of %d files are not parsed yet", e.Missing, e.Files)
}

// parseFile counts what a file declares. A *fileError is permanent; any other error,
// such as too many open files, may pass.
func parseFile(tree fs.FS, name string) (counts, error) {
	source, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return counts{}, &fileError{"NotFoundError", "the tree has no such file", name}
	} else if err != nil {
		return counts{}, fmt.Errorf("read: %w", err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return counts{}, syntaxError(err)
	}
	found := count(parsed)
	found.lines = int64(bytes.Count(source, []byte("\n")))
	if n := len(source); n > 0 && source[n-1] != '\n' {
		found.lines++
	}
	return found, nil
}

func count(parsed *ast.File) counts {
	found := counts{imports: int64(len(parsed.Imports))}
	for _, declaration := range parsed.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok {
			found.funcs++
			continue
		}
		for _, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				found.types++
			case *ast.ValueSpec:
				if group.Tok == token.CONST {
					found.consts += int64(len(spec.Names))
				} else {
					found.vars += int64(len(spec.Names))
				}
			}
		}
	}
	return found
}

// syntaxError uses the first error and its position, without the path, as the message.
// So errors of one kind share a fingerprint, which ignores numbers and quoted text. The
// detail has all errors, one per line.
func syntaxError(err error) *fileError {
	var list scanner.ErrorList
	if !errors.As(err, &list) || len(list) == 0 {
		return &fileError{"SyntaxError", printable(err.Error()), ""}
	}
	var detail []string
	for _, e := range list {
		detail = append(detail, printable(e.Error()))
	}
	message := fmt.Sprintf("%s (line %d, column %d)", printable(list[0].Msg), list[0].Pos.Line, list[0].Pos.Column)
	return &fileError{"SyntaxError", message, strings.Join(detail, "\n")}
}

// printable replaces characters that a terminal or Postgres cannot take. The parser
// quotes bytes of the file.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
