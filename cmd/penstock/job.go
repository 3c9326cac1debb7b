package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/config"
)

func newJob(d *deps) *cobra.Command {
	return group("job", "Look at a job or cancel it", newJobGet(d), newJobCancel(d))
}

// asking makes a command that takes arguments, talks to the database through a client
// and can print JSON.
func asking(d *deps, cmd *cobra.Command, run func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error) *cobra.Command {
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := d.load(cmd)
		if err != nil {
			return err
		}
		pool, err := connect(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer pool.Close()
		client, err := penstock.NewClient(pool, penstock.Config{})
		if err != nil {
			return err
		}
		return run(cmd.Context(), client, args, *asJSON)
	}
	return cmd
}

// jobID is the one argument of its command, checked before anything connects.
func jobID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give one job id, as `penstock enqueue` prints it")
	}
	if _, err := parseID(args[0]); err != nil {
		return err
	}
	return nil
}

func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, usagef("a job id is a whole number, as `penstock enqueue` prints it, got %q", text)
	}
	return id, nil
}

func newJobGet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a job: what was asked, where it is, how its attempts went",
		Args: jobID,
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobGet(ctx, d, client, d.stdout, args, asJSON)
	})
}

func runJobGet(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, args []string, asJSON bool) error {
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	job, err := client.Job(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, job)
	}
	return writeJob(out, d, job)
}

func writeJob(out io.Writer, d *deps, job *penstock.JobInfo) error {
	now := d.now()
	var f facts
	f.add("job", number(job.ID))
	f.add("queue", text(job.Queue))
	f.add("name", text(job.Name))
	f.add("state", state(string(job.State)))
	if job.CancelRequested {
		f.add("cancel", state("cancelling"))
	}
	f.add("priority", number(job.Priority))
	f.add("attempts", text(fmt.Sprintf("%d, %d failed", job.Attempt, job.Failures)))
	f.add("enqueued", text(ago(job.EnqueuedAt, now)))
	switch {
	case job.FinishedAt != nil:
		f.add("finished", text(ago(*job.FinishedAt, now)))
	case job.ClaimedAt != nil:
		f.add("running", text("since "+span(now.Sub(*job.ClaimedAt))))
	default:
		f.add("due", text(ago(job.RunAt, now)))
	}
	if job.ExpiresAt != nil && job.FinishedAt == nil {
		f.add("expires", text(ago(*job.ExpiresAt, now)))
	}
	f.add("tags", text(strings.Join(job.Tags, ", ")))
	if job.OriginID != 0 {
		f.add("redriven", text(fmt.Sprintf("from job %d", job.OriginID)))
	}
	f.add("data", text(compact(job.Data)))
	if err := f.write(out, d.screen, ""); err != nil || len(job.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(out)
	return writeAttempts(out, d, job.Attempts)
}

func writeAttempts(out io.Writer, d *deps, attempts []penstock.AttemptInfo) error {
	list := table{heads: []string{"ATTEMPT", "OUTCOME", "ENDED", "TOOK", "WORKER", "SAID"}}
	for _, a := range attempts {
		took, by, said := "", "", a.Message
		if a.ClaimedAt != nil {
			took = span(a.FinishedAt.Sub(*a.ClaimedAt))
		}
		if a.WorkerID != 0 {
			by = strconv.FormatInt(a.WorkerID, 10)
		}
		if a.ErrorClass != "" {
			said = a.ErrorClass + ": " + a.Message
		} else if a.Result != nil {
			said = compact(a.Result)
		}
		list.add(number(a.Attempt), state(a.Outcome), dimmed(ago(a.FinishedAt, d.now())), text(took), text(by), text(said))
	}
	if err := list.write(out, d.screen); err != nil {
		return err
	}
	for _, a := range slices.Backward(attempts) {
		if a.Detail == "" {
			continue
		}
		_, err := fmt.Fprintf(out, "\n%s\n%s\n", d.screen.paint(faint, fmt.Sprintf("What attempt %d left:", a.Attempt)), plainLines(a.Detail))
		return err
	}
	return nil
}

func newJobCancel(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "End a waiting job, or ask a running one to stop",
		Args: jobID,
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobCancel(ctx, client, d.stdout, args, asJSON)
	})
}

func runJobCancel(ctx context.Context, client *penstock.Client, out io.Writer, args []string, asJSON bool) error {
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	result, err := client.Cancel(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, struct {
			ID     int64                 `json:"id,string"`
			Result penstock.CancelResult `json:"result"`
		}{id, result})
	}
	said := map[penstock.CancelResult]string{
		penstock.CancelDone:    "was waiting and is cancelled.",
		penstock.CancelAsked:   "is running; its worker was told to stop it.",
		penstock.CancelTooLate: "had ended before; there was nothing to cancel.",
	}[result]
	_, err = fmt.Fprintf(out, "Job %d %s\n", id, said)
	return err
}

// compact is JSON on one line; what is not JSON stays as it is.
func compact(document json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, document) != nil {
		return string(document)
	}
	return b.String()
}
