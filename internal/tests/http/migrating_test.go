package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// block is a fenced block of a document.
type block struct {
	language, text string
	line           int
}

func blocks(t *testing.T, path string) (all []block) {
	t.Helper()
	document, err := os.ReadFile(path)
	require.NoError(t, err)
	var open *block
	for n, line := range strings.Split(string(document), "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			open = &block{language: strings.TrimPrefix(line, "```"), line: n + 1}
		case open != nil && line == "```":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	require.Nil(t, open, "a block is not closed")
	return all
}

// The examples over HTTP and in SQL run in their order, those in Go after them as one
// program, with ids of their own.
func TestTheExamplesOfMigratingRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entries := f.kill(t, "deploy-contract", 2)
	ids := map[string]string{"{dlqItemId}": entries[0]}
	var goBlocks []block
	ran := map[string]int{}
	for _, b := range blocks(t, "../../../docs/migrating.md") {
		text := b.text
		for name, id := range ids {
			text = strings.ReplaceAll(text, name, id)
		}
		ran[b.language]++
		switch b.language {
		case "http":
			f.runHTTP(t, b, text, ids)
		case "sql":
			_, err := f.Pool.Exec(context.Background(), text, pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err, "line %d: %s", b.line, text)
		case "go":
			goBlocks = append(goBlocks, b)
		}
	}
	require.Greater(t, ran["http"], 20)
	require.Greater(t, ran["sql"], 12)
	require.Greater(t, ran["go"], 15)
	f.runGo(t, goBlocks, f.enqueue(t, "process-tts", object{"name": "n", "delay": 60000}), entries[1])
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.pending WHERE queue = 'mail'"), "the worker has worked all of it")
}

// runHTTP sends a request as the document writes it.
func (f *fixture) runHTTP(t *testing.T, b block, text string, ids map[string]string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	method, path, ok := strings.Cut(strings.TrimSpace(head), " ")
	require.True(t, ok, "line %d", b.line)
	var sent any
	if body != "" {
		sent = body
	}
	recorder := f.send(t, method, path, sent)
	require.Less(t, recorder.Code, 300, "line %d: %s", b.line, recorder.Body.String())
	if method == http.MethodPost && strings.HasSuffix(path, "/jobs") {
		var added struct{ ID string }
		require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &added))
		ids["{jobId}"] = added.ID
	}
}

var assigned = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :?= `)

// runGo compiles the blocks as a program of this module and runs it on the database.
func (f *fixture) runGo(t *testing.T, all []block, jobID int64, entry string) {
	t.Helper()
	var program strings.Builder
	program.WriteString(`package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Args[1])
	check(0, err)
	client, err := penstock.NewClient(pool, penstock.Config{})
	check(0, err)
	jobID, err := strconv.ParseInt(os.Args[2], 10, 64)
	check(0, err)
	dlqItemID := os.Args[3]
`)
	for _, b := range all {
		fmt.Fprintf(&program, "\tblock%d(ctx, client, jobID, dlqItemID)\n", b.line)
	}
	program.WriteString("}\n\nfunc check(line int, err error) {\n\tif err != nil {\n\t\tlog.Fatalf(\"line %d: %v\", line, err)\n\t}\n}\n\nvar _ = time.Now\n")
	for _, b := range all {
		fmt.Fprintf(&program, "\nfunc block%d(ctx context.Context, client *penstock.Client, jobID int64, dlqItemID string) {\n%s", b.line, b.text)
		for _, found := range assigned.FindAllStringSubmatch(b.text, -1) {
			for _, name := range strings.Split(found[1], ", ") {
				fmt.Fprintf(&program, "\t_ = %s\n", name)
			}
		}
		fmt.Fprintf(&program, "\tcheck(%d, err)\n}\n", b.line)
	}
	// The file is laid over the module, so that it needs no place of its own in it.
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(program.String()), 0o600))
	here, err := os.Getwd()
	require.NoError(t, err)
	laid, err := json.Marshal(object{"Replace": object{filepath.Join(here, "migrating", "main.go"): source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, laid, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "run", "-buildvcs=false", "-overlay", overlay, "./migrating",
		f.URL, fmt.Sprint(jobID), entry).CombinedOutput()
	require.NoError(t, err, string(out))
}
