package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/command/commandtest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "penstock", main) }

// outcome is what a command line led to.
type outcome struct {
	code           int
	stdout, stderr string
}

// call runs a command line in this process, as main would.
func call(t *testing.T, environ []string, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	d := &deps{&command.Process{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Environ: environ, Program: "penstock",
		Now: time.Now, Interrupts: command.NewInterrupts(),
	}}
	code := run(context.Background(), d, args)
	return outcome{code, stdout.String(), stderr.String()}
}

func TestWrongCallsAreUsageErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"an unknown command", []string{"nope"}, `unknown command "nope"`},
		{"an unknown command of a group", []string{"job", "nope"}, `unknown command "nope"`},
		{"an unknown flag", []string{"version", "--nope"}, "unknown flag: --nope"},
		{"a missing argument", []string{"enqueue", "q"}, "enqueue: NAME is missing: penstock enqueue QUEUE NAME [DATA|-]"},
		{"two missing arguments", []string{"enqueue"}, "enqueue: QUEUE and NAME are missing"},
		{"an argument too many", []string{"queue", "pause", "a", "b"}, `queue pause: "b" is one argument too many: penstock queue pause QUEUE`},
		{"an argument where none is taken", []string{"version", "x"}, `version takes no arguments, got "x"`},
		{"a command with a letter missing", []string{"enqeue", "q", "n"}, `unknown command "enqeue" for "penstock": did you mean enqueue?`},
		{"a command of a group with a letter missing", []string{"job", "cancle"}, `unknown command "cancle" for "penstock job": did you mean cancel?`},
		{"a flag of another type", []string{"enqueue", "q", "n", "--delay", "soon"}, "give days (7d) or a duration (1h30m)"},
		{"a setting that will not do", []string{"serve", "--listen", "nowhere"}, "--listen or PENSTOCK_LISTEN"},
		{"data that is not JSON", []string{"enqueue", "q", "n", "{"}, "DATA must be JSON"},
		{"an idempotency key that a shell left empty", []string{"enqueue", "q", "n", "--idempotency-key", ""}, "--idempotency-key was given without a value"},
		{"no attempts", []string{"enqueue", "q", "n", "--max-attempts", "0"}, "--max-attempts was given without a value"},
		{"a time that is not one", []string{"enqueue", "q", "n", "--run-at", "noon"}, "such as 2026-01-31T12:00:00Z"},
		{"a retry field that does not exist", []string{"enqueue", "q", "n", "--retry", `{"tries":3}`}, `got "tries"`},
		{"a retry strategy that is no object", []string{"enqueue", "q", "n", "--retry", `null`}, "a JSON object"},
		{"no attempts of a retry strategy", []string{"enqueue", "q", "n", "--retry", `{"maxAttempts":0}`}, "retry.maxAttempts must be a whole number from 1 to 100, got 0"},
		{"a preview of no strategy", []string{"policy", "preview", "q", "--retry", ""}, "--retry must be a JSON object"},
		{"a policy of nothing", []string{"policy", "set", "q"}, "say what to set"},
		{"a field to reset that does not exist", []string{"policy", "set", "q", "--reset", "tries"}, `max-delay, multiplier, non-retryable, retryable, type, got "tries"`},
		{"a field both set and reset", []string{"policy", "set", "q", "--delay", "1s", "--reset", "delay"}, "--delay is both set and reset"},
		{"a rule without a place", []string{"rule", "set", "q", "first", "$.a", "high"}, `POSITION must be 1 to 1000, got "first"`},
		{"a rule taken from nowhere", []string{"rule", "remove", "q", "0"}, `POSITION must be 1 to 1000, got "0"`},
		{"a test of what is not JSON", []string{"rule", "test", "q", "{"}, "DATA must be JSON"},
		{"a level beyond the highest", []string{"level", "set", "huge", "101"}, `WEIGHT must be 1 to 100, got "101"`},
		{"a tag that shifts nothing", []string{"tag", "set", "t", "0"}, `SHIFT must be -99 to 99 and not 0, got "0"`},
		{"a breaker that opens at nothing", []string{"breaker", "set", "q", "--failure-share", "0"}, "--failure-share was given without a value"},
		{"a queue setting of nothing", []string{"queue", "set", "q"}, "--aging or --default-priority"},
		{"a default priority that a shell left empty", []string{"queue", "set", "q", "--default-priority", "", "--aging", "1"}, "--default-priority was given without a value"},
		{"two queues for one list", []string{"job", "list", "a", "--queue", "b"}, `QUEUE is "a" and --queue is "b"; give one`},
		{"an id that is not a number", []string{"job", "get", "abc"}, `got "abc"`},
		{"an id that cannot be", []string{"job", "cancel", "0"}, `got "0"`},
		{"work without a queue", []string{"work", "--", "cat"}, "--queue"},
		{"work without a command", []string{"work", "--queue", "q"}, "after --"},
		{"work with the command before the dashes", []string{"work", "--queue", "q", "cat", "--", "x"}, "after --"},
		{"work with a command that is not there", []string{"work", "--queue", "q", "--", "no-such-program"}, "no-such-program"},
		{"work with no commands at once", []string{"work", "--queue", "q", "--concurrency", "0", "--", "cat"}, "1 to 10000"},
		{"a role for nothing", []string{"grants", "app"}, "producer, worker, operator or reporter"},
		{"a duty that does not exist", []string{"grants", "app", "--as", "king"}, `got "king"`},
		{"a role name that would end a comment", []string{"grants", "a\nDROP TABLE x;", "--as", "worker"}, "control characters"},
		{"a role name that Postgres would cut", []string{"grants", strings.Repeat("r", 64), "--as", "worker"}, "1 to 63 bytes"},
		{"a version that no migration has", []string{"migrate", "sql", "--to", "999"}, "there is no version 999"},
		{"a list of nothing", []string{"dlq", "list", "--limit", "0"}, "1 to 500"},
		{"a list of too much", []string{"job", "list", "--limit", "501"}, "--limit must be 1 to 500, got 501"},
		{"an audit of nothing", []string{"audit", "--limit", "0"}, "audit: --limit must be 1 to 500"},
		{"a state there is not", []string{"job", "list", "--state", "sleeping"}, "--state must be one of scheduled, waiting,"},
		{"a state that an action cannot change", []string{"job", "run-now", "--state", "completed"}, "--state must be one of scheduled, retrying"},
		{"a reason there is not", []string{"dlq", "list", "--reason", "bored"}, "--reason must be one of exhausted, non_retryable,"},
		{"a moment that is none", []string{"job", "list", "--since", "yesterday"}, "how long ago (2h, 7d)"},
		{"a moment ahead of now", []string{"dlq", "list", "--until", "-2h"}, "how long ago (2h, 7d)"},
		{"a filter that a shell left empty", []string{"job", "cancel", "--queue", "", "--yes"}, "--queue was given without a value"},
		{"a queue that a shell left empty", []string{"dlq", "purge", "", "--older-than", "0s", "--yes"}, "an argument is empty"},
		{"a cancel of nothing", []string{"job", "cancel"}, "give one job id, or filters"},
		{"a cancel of everything by yes alone", []string{"job", "cancel", "--yes"}, "give one job id, or filters"},
		{"a cancel of one and of many", []string{"job", "cancel", "5", "--queue", "q"}, "not both"},
		{"a priority to nothing", []string{"job", "reprioritize", "5"}, "say the priority"},
		{"a reschedule to no time", []string{"job", "reschedule", "5"}, "--run-at or --delay"},
		{"a reschedule to two times", []string{"job", "reschedule", "5", "--delay", "1h", "--run-at", "2099-01-31T12:00:00Z"}, "--run-at or --delay"},
		{"a reschedule to noon", []string{"job", "reschedule", "5", "--run-at", "noon"}, "such as 2026-01-31T12:00:00Z"},
		{"a reschedule into the past", []string{"job", "reschedule", "5", "--delay=-1h"}, "--delay must be 0 or more"},
		{"a wait of no time", []string{"job", "wait", "5", "--timeout", "0s"}, "--timeout must be positive"},
		{"an entry that is none", []string{"dlq", "show", "dlq_5"}, "dlq_<job>_<attempt>"},
		{"an entry beyond all numbers", []string{"dlq", "retry", "dlq_99999999999999999999_1"}, "dlq_<job>_<attempt>"},
		{"a retry of nothing", []string{"dlq", "retry"}, "dlq retry: ENTRY is missing: penstock dlq retry ENTRY"},
		{"a retry with a queue", []string{"dlq", "retry", "q", "dlq_5_1"}, `"dlq_5_1" is one argument too many`},
		{"a redrive of every queue", []string{"dlq", "redrive"}, "dlq redrive: QUEUE is missing: penstock dlq redrive QUEUE"},
		{"a redrive at no rate", []string{"dlq", "redrive", "q", "--rate", "0"}, "--rate must be 1 to 100000"},
		{"a flock of canaries", []string{"dlq", "redrive", "q", "--canary", "1001"}, "--canary must be 0 to 1000"},
		{"a share of nothing", []string{"dlq", "redrive", "q", "--canary-share", "0"}, "--canary-share must be above 0"},
		{"a share that is no number", []string{"dlq", "redrive", "q", "--canary-share", "NaN"}, "--canary-share must be above 0"},
		{"no generation", []string{"dlq", "redrive", "q", "--max-generation", "0"}, "--max-generation must be 1 to 100"},
		{"a redrive's id that is none", []string{"dlq", "redrive", "pause", "first"}, `got "first"`},
		{"a purge of any age by accident", []string{"dlq", "purge", "q", "--yes"}, "--older-than 30d"},
		{"a purge of the future", []string{"dlq", "purge", "q", "--older-than=-5s"}, "--older-than must be 0s or more"},
		{"a group of no queue", []string{"dlq", "resolve", "3f2a9c0d1e8b7a65"}, "dlq resolve: FINGERPRINT is missing"},
		{"no groups", []string{"dlq", "groups", "--limit", "0"}, "1 to 500"},
		{"a task set to nothing", []string{"task", "set", "prune"}, "--schedule, --time-zone or --setting"},
		{"a schedule that a shell left empty", []string{"task", "set", "prune", "--schedule", "", "--time-zone", "UTC"}, "--schedule was given without a value"},
		{"a task of no name", []string{"task", "run"}, "task run: TASK is missing"},
		{"health set to nothing", []string{"health", "set", "q"}, "say what to set"},
		{"a threshold there is not", []string{"health", "set", "q", "--reset", "mood"}, "--reset takes"},
		{"a pause of nothing", []string{"queue", "pause", ""}, "an argument is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, nil, "", c.args...)
			require.Equal(t, command.ExitUsage, got.code, got.stderr)
			require.Contains(t, got.stderr, "penstock: ")
			require.Contains(t, got.stderr, c.says)
			require.Empty(t, got.stdout)
		})
	}
}

func TestWithoutADatabaseCommandsSayHowToGetOne(t *testing.T) {
	nowhere := "PENSTOCK_DATA_DIR=" + t.TempDir()
	for _, c := range []struct {
		name    string
		environ []string
		says    string
	}{
		{"nothing given and nothing running", []string{nowhere}, "start one with `penstock serve`, or set DATABASE_URL"},
		{"nobody listens", []string{"DATABASE_URL=postgres://u:s3cret@127.0.0.1:1/db"}, "Check that PostgreSQL runs there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, c.environ, "", "enqueue", "q", "n")
			require.Equal(t, command.ExitFailed, got.code)
			require.Contains(t, got.stderr, c.says)
			require.NotContains(t, got.stderr, "s3cret")
		})
	}
}

func TestHelpAndVersionNeedNoDatabase(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"work", "--help"}, {"job"}, {"dlq"}, {"queue"}, {"dlq", "redrive", "--help"}, {"policy"}, {"rule"}, {"level"}, {"tag"}, {"breaker"}, {"task"}, {"health", "--help"}, {"migrate"}, {"version"}, {"version", "--json"}, {"completion", "bash"}, {"migrate", "sql"}} {
		got := call(t, []string{"DATABASE_URL=not a url"}, "", args...)
		require.Equal(t, command.ExitDone, got.code, got.stderr)
		require.NotEmpty(t, got.stdout)
		require.Empty(t, got.stderr)
	}
}

func TestStdinIsReadUpToItsBound(t *testing.T) {
	_, err := readData(io.LimitReader(zeros{}, maxInput+5), "-", "DATA")
	require.ErrorContains(t, err, "at most 1048576 bytes")
	data, err := readData(strings.NewReader(" {\"a\": 1}\n"), "-", "DATA")
	require.NoError(t, err)
	require.Equal(t, `{"a": 1}`, string(data))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
