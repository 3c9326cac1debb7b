package documents

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// quiet are folders whose log lines no operator of Penstock sees: tests, and what is
// run to measure and to prove.
var quiet = []string{"internal/lab", "internal/tests", "internal/testkit", "cmd/penstock-lab"}

// LogMessages returns each message that shipped code logs at level warn or above, with
// the place of one of its calls. A message that is not a constant is an error: nobody
// could look it up.
func LogMessages(files fs.FS) (map[string]string, error) {
	found := map[string]string{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (skipped[entry.Name()] || slices.Contains(quiet, name)):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			err = errors.Join(err, messagesIn(declared, func(at token.Pos) string {
				return fmt.Sprintf("%s:%d", name, set.Position(at).Line)
			}, found))
		}
		return err
	})
	return found, err
}

// messagesIn adds the messages that a declaration logs to found.
func messagesIn(declared ast.Decl, place func(token.Pos) string, found map[string]string) (err error) {
	ast.Inspect(declared, func(n ast.Node) bool {
		call, isCall := n.(*ast.CallExpr)
		if !isCall {
			return true
		}
		message := messageOf(call, declared)
		if message == nil {
			return true
		}
		text, isConstant := constant(message)
		if !isConstant {
			err = errors.Join(err, fmt.Errorf("%s: the message of a log line has to be a constant", place(call.Pos())))
			return true
		}
		found[text] = place(call.Pos())
		return true
	})
	return err
}

// places say which argument of a logger's method is the message.
var places = map[string]int{
	"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1,
	"LogAttrs": 2, "Log": 2, // slog: (ctx, level, message …); zap: (level, message …)
}

// below are the levels that an operator need not look up.
var below = []string{"LevelDebug", "LevelInfo"}

// messageOf is the message of a call that logs at level warn or above, or at a level
// that is only known at run time; nil for every other call.
func messageOf(call *ast.CallExpr, within ast.Decl) ast.Expr {
	method, isMethod := call.Fun.(*ast.SelectorExpr)
	if !isMethod || !isLogger(method.X) {
		return nil
	}
	place, logs := places[method.Sel.Name]
	if !logs || min(place, 1) >= len(call.Args) {
		return nil
	}
	if place == 2 {
		if _, isZap := constant(call.Args[1]); isZap {
			return call.Args[1]
		}
		if len(call.Args) < 3 {
			return nil
		}
		if isBelow(call.Args[1], within) {
			return nil
		}
	}
	return call.Args[place]
}

// isBelow says whether a level is below warn: its name says so, or it is a variable that
// the declaration sets to such levels only.
func isBelow(level ast.Expr, within ast.Decl) bool {
	switch level := level.(type) {
	case *ast.SelectorExpr:
		return slices.Contains(below, level.Sel.Name)
	case *ast.Ident:
		set, all := false, true
		ast.Inspect(within, func(n ast.Node) bool {
			assigned, is := n.(*ast.AssignStmt)
			if !is || len(assigned.Lhs) != len(assigned.Rhs) {
				return true
			}
			for i, left := range assigned.Lhs {
				if name, is := left.(*ast.Ident); is && name.Name == level.Name {
					value, is := assigned.Rhs[i].(*ast.SelectorExpr)
					set, all = true, all && is && slices.Contains(below, value.Sel.Name)
				}
			}
			return true
		})
		return set && all
	}
	return false
}

// isLogger goes by the name, since types would need a build of everything.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return isLoggerName(x.Name)
	case *ast.SelectorExpr:
		return isLoggerName(x.Sel.Name)
	case *ast.CallExpr: // log.With(…).Warn(…), w.logger().Warn(…)
		if f, isMethod := x.Fun.(*ast.SelectorExpr); isMethod {
			return isLoggerName(f.Sel.Name) || (strings.HasPrefix(f.Sel.Name, "With") && isLogger(f.X))
		}
	}
	return false
}

func isLoggerName(name string) bool {
	name = strings.ToLower(name)
	return name == "slog" || strings.HasSuffix(name, "log") || strings.HasSuffix(name, "logger")
}

// constant is the text of a string literal, or of several that are added.
func constant(x ast.Expr) (string, bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil && x.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := constant(x.X)
		right, isRight := constant(x.Y)
		return left + right, isLeft && isRight && x.Op == token.ADD
	}
	return "", false
}

// healthFunctions are the functions in SQL that report issues.
var healthFunctions = []string{"queue_health", "database_health"}

var (
	issue = regexp.MustCompile(`SELECT (?:s\.q|''), (?:'([a-z_]+)'|CASE (.*?) END),`)
	named = regexp.MustCompile(`(?:THEN|ELSE) '([a-z_]+)'`)
)

// HealthCodes returns the codes of the issues that health reports, from the newest body of
// each function in the migrations.
func HealthCodes(files fs.FS) (map[string]string, error) {
	var sources []string
	err := fs.WalkDir(files, "migrations", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && path.Ext(name) == ".sql" && path.Base(name) != "snapshot.sql" {
			sources = append(sources, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, function := range healthFunctions {
		head := regexp.MustCompile(`(?s)CREATE (?:OR REPLACE )?FUNCTION (?:penstock\.)?` + function + `\(.*?AS \$\$(.*?)\$\$;`)
		body, where := "", ""
		for _, name := range sources {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			for _, match := range head.FindAllStringSubmatch(string(text), -1) {
				body, where = match[1], name
			}
		}
		if body == "" {
			return nil, fmt.Errorf("no migration makes the function %s", function)
		}
		for _, match := range issue.FindAllStringSubmatch(body, -1) {
			if match[1] != "" {
				found[match[1]] = where
			}
			for _, branch := range named.FindAllStringSubmatch(match[2], -1) {
				found[branch[1]] = where
			}
		}
	}
	return found, nil
}
