package commandtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// Scripts runs every script of testdata/script with a database of its own, in the
// DATABASE_URL that the real program on its PATH sees. Beyond testscript's own commands
// there are:
//
//	exits CODE COMMAND…  runs the command, which must exit with the code
//	capture VARIABLE     keeps the last command's stdout, trimmed, in a variable
//	[long]               is true where testkit.Long skips no test
//	sql QUERY            prints the first column of what the database answers
func Scripts(t *testing.T, program string) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	bin := ProgramDir(t, program)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			db := testkit.New(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
				RequireExplicitExec: true,
				Condition:           condition,
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
					env.Setenv("DATABASE_URL", db.URL)
					env.Setenv("GORACE", quickExit)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "capture": capture, "sql": sql,
				},
			})
		})
	}
}

// condition is true for [long] in the tests that take long.
func condition(name string) (bool, error) {
	if name != "long" {
		return false, errors.New("it is not known")
	}
	return testkit.IsLong(), nil
}

func exits(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("it exited %d, not %d", code, want)
	}
}

func capture(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) != 1 {
		ts.Fatalf("usage: capture VARIABLE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func sql(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) != 1 {
		ts.Fatalf("usage: sql QUERY")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, args[0], pgx.QueryExecModeSimpleProtocol) // every value as text
	ts.Check(err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ts.Check(err)
	_, err = ts.Stdout().Write([]byte(strings.Join(values, "\n") + "\n"))
	ts.Check(err)
}
