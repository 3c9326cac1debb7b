package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/terminal"
)

// maxInput is the most of stdin that is read as data; the queue takes 1 MiB, so
// anything longer is refused there with its own words.
const maxInput = 1<<20 + 1

type enqueueFlags struct {
	priority, runAt, retry    string
	delay, timeout, expiresIn wait
	maxAttempts               int
	tags                      []string
	idempotencyKey            string
	asJSON                    bool
}

func newEnqueue(d *deps) *cobra.Command {
	var f enqueueFlags
	cmd := &cobra.Command{
		Use:   "enqueue QUEUE NAME [DATA|-]",
		Short: "Add a job and print its id",
		Long: `Add a job and print its id. DATA is JSON; - reads it from stdin; without it the data
is {}. What the job does not bring is decided by its queue's priorities and policy.`,
		Example: `  penstock enqueue deploy-contract deploy '{"environment":"production"}' --priority high
  jq -n '{file: "a.wav"}' | penstock enqueue process-tts speak - --delay 10s --tag audio`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	flags := cmd.Flags()
	config.Bind(flags, config.DatabaseURL, config.DataDir)
	flags.StringVar(&f.priority, "priority", "", "low, normal, high, critical, or a weight from 1 to 100")
	completeFlag(cmd, "priority", fixed(priorityWords...))
	flags.Var(&f.delay, "delay", "wait this long before the first run, such as 90s or 2h or 7d")
	flags.StringVar(&f.runAt, "run-at", "", "run no earlier than this, such as 2026-01-31T12:00:00Z")
	flags.IntVar(&f.maxAttempts, "max-attempts", 0, "runs in all, 1 to 100 (default: the policy's)")
	flags.Var(&f.timeout, "timeout", "how long one run may take (default: the worker's)")
	flags.Var(&f.expiresIn, "expires-in", "drop the job if it has not started by then")
	flags.StringArrayVar(&f.tags, "tag", nil, "a tag; may be repeated")
	flags.StringVar(&f.idempotencyKey, "idempotency-key", "", "the same key gives the same job for 24 hours")
	flags.StringVar(&f.retry, "retry", "", `retry strategy as JSON, such as '{"type":"fixed","delay":5000,"jitter":0}'`)
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := notEmpty(cmd, "max-attempts", "timeout", "expires-in"); err != nil {
			return err
		}
		job, err := f.job(d, args)
		if err != nil {
			return err
		}
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		pool, err := d.Connect(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer pool.Close()
		client, err := penstock.NewClient(pool, penstock.Config{})
		if err != nil {
			return err
		}
		return runEnqueue(cmd.Context(), client, d.Stdout, job, f.asJSON)
	}
	return cmd
}

func runEnqueue(ctx context.Context, client *penstock.Client, out io.Writer, job penstock.NewJob, asJSON bool) error {
	id, err := client.Enqueue(ctx, job)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, struct {
			ID    int64  `json:"id,string"`
			Queue string `json:"queueName"`
			Name  string `json:"name"`
		}{id, job.Queue, job.Name})
	}
	_, err = fmt.Fprintln(out, id)
	return err
}

// job reads the command line; bounds and names are the database's to check.
func (f *enqueueFlags) job(d *deps, args []string) (penstock.NewJob, error) {
	job := penstock.NewJob{
		Queue: args[0], Name: args[1], Priority: penstock.Priority(f.priority), Delay: time.Duration(f.delay),
		MaxAttempts: f.maxAttempts, Timeout: time.Duration(f.timeout), ExpiresIn: time.Duration(f.expiresIn),
		Tags: f.tags, IdempotencyKey: f.idempotencyKey,
	}
	var err error
	if len(args) == 3 {
		if job.Data, err = readData(d.Stdin, args[2], "enqueue: DATA"); err != nil {
			return job, err
		}
	}
	if f.runAt != "" {
		if job.RunAt, err = time.Parse(time.RFC3339, f.runAt); err != nil {
			return job, command.Usagef("enqueue: --run-at must be a time such as 2026-01-31T12:00:00Z, got %q", f.runAt)
		}
	}
	if f.retry != "" {
		if job.Retry, err = parseRetry(f.retry); err != nil {
			return job, err
		}
	}
	return job, nil
}

// readData reads a document, from stdin when arg is -; where is what to call it.
func readData(stdin io.Reader, arg, where string) (json.RawMessage, error) {
	data := []byte(arg)
	if arg == "-" {
		var err error
		if data, err = io.ReadAll(io.LimitReader(stdin, maxInput)); err != nil {
			return nil, fmt.Errorf("read data from stdin: %w", err)
		}
		if len(data) == maxInput {
			return nil, command.Usagef("%s must be JSON of at most 1048576 bytes, stdin has more", where)
		}
	}
	data = bytes.TrimSpace(data)
	if !json.Valid(data) {
		return nil, command.Usagef("%s must be JSON, such as '{\"key\":\"value\"}' or '\"text\"' or 42, in one argument", where)
	}
	return data, nil
}

// parseRetry refuses keys that a strategy does not have, which would otherwise be
// dropped in silence.
func parseRetry(text string) (*penstock.RetryStrategy, error) {
	known := retryKeys()
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &given); err != nil || given == nil {
		return nil, command.Usagef("--retry must be a JSON object with any of %s", strings.Join(known, ", "))
	}
	for key := range given {
		if !slices.Contains(known, key) {
			return nil, command.Usagef("--retry may have %s, got %q", strings.Join(known, ", "), key)
		}
	}
	strategy := new(penstock.RetryStrategy)
	if err := json.Unmarshal([]byte(text), strategy); err != nil {
		return nil, command.Usagef("--retry: %w", err)
	}
	return strategy, nil
}

// retryKeys asks a strategy with everything set what its JSON fields are.
func retryKeys() []string {
	full, err := json.Marshal(penstock.RetryStrategy{
		Type: penstock.Fixed, Delay: 1, Multiplier: 1, MaxDelay: 1, MaxAttempts: 1, Jitter: new(float64),
	})
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(full, &fields)
	}
	if err != nil {
		panic(fmt.Sprintf("penstock: a retry strategy has no JSON form: %v", err)) // constants only
	}
	return slices.Sorted(maps.Keys(fields))
}
