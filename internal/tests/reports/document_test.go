package reports_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// example is a fenced block of SQL in a document, and what the document says that the
// last statement with an answer prints; empty when it says nothing.
type example struct {
	sql, says string
	line      int
}

// examples reads a document's blocks: ```sql, and ```text directly below one.
func examples(t *testing.T, path string) []example {
	t.Helper()
	document, err := os.ReadFile(path)
	require.NoError(t, err)
	var all []example
	fence, follows := "", false
	var body []string
	for n, line := range strings.Split(string(document), "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence, body = strings.TrimPrefix(line, "```"), nil
		case line == "```":
			text := strings.Join(body, "\n")
			if fence == "sql" {
				all = append(all, example{sql: text, line: n - len(body)})
			} else if fence == "text" && follows {
				all[len(all)-1].says = text
			}
			follows, fence = fence == "sql", ""
		case fence != "":
			body = append(body, line)
		default:
			follows = follows && line == ""
		}
	}
	require.Empty(t, fence, "a block of %s is not closed", path)
	return all
}

// printed is what psql prints of one statement: a table, or an error's first line.
type printed struct {
	rows [][]string // the names of the columns first
	err  string
}

// session is psql as far as the documents need it: statements one by one as text,
// :name and :'name' for variables, \gset to set them.
type session struct {
	conn      *pgx.Conn
	variables map[string]string
}

func newSession(t *testing.T, f *fixture) *session {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	config, err := pgx.ParseConfig(f.URL)
	require.NoError(t, err)
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := soon()
		defer cancel()
		_ = conn.Close(ctx)
	})
	return &session{conn, map[string]string{}}
}

// run executes a script and returns the answer of the last statement that has one, and
// every error there was.
func (s *session) run(script string) (last printed, errs []string) {
	for rest := script; strings.TrimSpace(rest) != ""; {
		var statement string
		var keep bool
		statement, keep, rest = s.next(rest)
		ctx, cancel := soon()
		answer := s.execute(ctx, statement)
		cancel()
		if answer.err != "" {
			errs = append(errs, answer.err)
		}
		if keep && len(answer.rows) == 2 {
			for i, name := range answer.rows[0] {
				s.variables[name] = answer.rows[1][i]
			}
		} else if answer.err != "" || answer.rows != nil {
			last = answer
		}
	}
	return last, errs
}

func (s *session) execute(ctx context.Context, statement string) (p printed) {
	results := s.conn.PgConn().Exec(ctx, statement)
	for results.NextResult() {
		reader := results.ResultReader()
		fields := reader.FieldDescriptions()
		if len(fields) == 0 {
			_, _ = reader.Close() // its error is that of results
			continue
		}
		p.rows = [][]string{{}}
		for _, f := range fields {
			p.rows[0] = append(p.rows[0], f.Name)
		}
		for reader.NextRow() {
			row := make([]string, len(fields))
			for i, value := range reader.Values() {
				row[i] = string(value)
			}
			p.rows = append(p.rows, row)
		}
		_, _ = reader.Close()
	}
	if err := results.Close(); err != nil {
		message := err.Error()
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
			message = refused.Message
		}
		return printed{err: "ERROR:  " + message}
	}
	return p
}

// What next passes over whole: comments, quoted text, dollar quotes; what it replaces:
// variables; and what ends a statement.
var token = regexp.MustCompile(`(?s)^(?:--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$|::|:'(\w+)'|:([A-Za-z_]\w*)|\\gset|.)`)

// next cuts off the first statement, with variables replaced as psql does.
func (s *session) next(script string) (statement string, keep bool, rest string) {
	var b strings.Builder
	for script != "" {
		m := token.FindStringSubmatch(script)
		word := m[0]
		script = script[len(word):]
		switch {
		case word == ";":
			return b.String(), false, script
		case word == `\gset`:
			return b.String(), true, script
		case word[0] == '$' && len(word) > 1:
			end := strings.Index(script, word) + len(word)
			b.WriteString(word + script[:end])
			script = script[end:]
		case m[2] != "":
			b.WriteString("'" + strings.ReplaceAll(s.variables[m[2]], "'", "''") + "'")
		case m[3] != "":
			b.WriteString(s.variables[m[3]])
		default:
			b.WriteString(word)
		}
	}
	return b.String(), false, ""
}

// What no two databases have in common.
var (
	jobID  = regexp.MustCompile(`\b20\d{14}\b`)
	moment = regexp.MustCompile(`\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00`)
)

func common(text string) string {
	return moment.ReplaceAllString(jobID.ReplaceAllString(strings.TrimSpace(text), "(id)"), "(time)")
}

var day = regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)

// numbered gives each day of a table, in the order they come, a number: the document was
// written on one day and holds on every other.
func numbered(rows [][]string) [][]string {
	days := map[string]string{}
	for _, row := range rows {
		for i, cell := range row {
			if !day.MatchString(cell) {
				continue
			}
			if days[cell] == "" {
				days[cell] = fmt.Sprintf("(day %d)", len(days)+1)
			}
			row[i] = days[cell]
		}
	}
	return rows
}

// cells are the rows of a table as psql prints it.
func cells(text string) (rows [][]string) {
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "(") && strings.HasSuffix(line, ")") || strings.Trim(line, "-+ ") == "" {
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(line, "|") {
			row = append(row, common(cell))
		}
		rows = append(rows, row)
	}
	return rows
}

// holdTrue runs the examples in order and checks that they answer what the document says.
func holdTrue(t *testing.T, f *fixture, path string) {
	t.Helper()
	s := newSession(t, f)
	for _, e := range examples(t, path) {
		last, errs := s.run(e.sql)
		switch {
		case strings.HasPrefix(e.says, "ERROR:"):
			require.NotEmpty(t, errs, "%s:%d: no error", path, e.line)
			require.Equal(t, common(e.says), common(last.err), "%s:%d", path, e.line)
			errs = errs[1:]
		case e.says != "":
			answer := make([][]string, len(last.rows))
			for i, row := range last.rows {
				for _, cell := range row {
					answer[i] = append(answer[i], common(cell))
				}
			}
			require.Equal(t, numbered(cells(e.says)), numbered(answer), "%s:%d", path, e.line)
		}
		require.Empty(t, errs, "%s:%d", path, e.line)
	}
}
