package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newJob(d *deps) *cobra.Command {
	return command.Group("job", "Find jobs, look at them, move or stop them",
		newJobGet(d), newJobList(d), newJobExplain(d), newJobWait(d),
		newJobCancel(d), newJobReprioritize(d), newJobReschedule(d), newJobRunNow(d), newJobDeadLetter(d))
}

// jobID takes a job's id, if the command needs one. It is checked before anything connects.
func jobID(cmd *cobra.Command, args []string) error {
	if err := command.Arguments(cmd, args); err != nil || len(args) == 0 {
		return err
	}
	_, err := parseID(args[0])
	return err
}

func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, command.Usagef("a job id is a whole number, as `penstock enqueue` prints it, got %q", text)
	}
	return id, nil
}

func newJobExplain(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Say why a job is not running",
		Long: `Say why a job is not running, the most decisive reason first. What blocks keeps every
claim from taking the job; a note only bears on when it is its turn.`,
		Args: jobID,
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobExplain(ctx, d, client, d.Stdout, args, asJSON)
	})
}

func runJobExplain(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, args []string, asJSON bool) error {
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	e, err := client.Explain(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, e)
	}
	fmt.Fprintf(out, "Job %d, %s of queue %s, is %s.\n", e.JobID, terminal.Plain(e.Name), terminal.Plain(e.Queue),
		d.Screen.Paint(stateColour(string(e.State)), terminal.Plain(string(e.State))))
	if e.Claimable {
		fmt.Fprintln(out, "Nothing blocks it: the next claim with room for it takes it.")
	}
	for _, r := range e.Reasons {
		mark, colour := "note  ", terminal.Yellow
		if r.Blocks {
			mark, colour = "blocks", terminal.Red
		}
		if r.Code == "running" || r.Code == "finished" || r.Code == "redriven" || r.Code == "purged" {
			mark, colour = "note  ", terminal.Faint // not a hindrance, but how it stands
		}
		said := r.Message
		if when := factTime(r.Facts); !when.IsZero() {
			said += " (" + terminal.Ago(when, d.Now()) + ")"
		}
		const indent = 10
		fmt.Fprintf(out, "  %s  %s\n", d.Screen.Paint(colour, mark), terminal.Hanging(terminal.Plain(said), d.Screen.Width, indent))
	}
	return nil
}

// factTime is the moment that a reason turns on; zero when there is none.
func factTime(facts map[string]any) time.Time {
	for _, name := range []string{"until", "failedAt", "at", "since", "claimedAt", "expiresAt"} {
		text, _ := facts[name].(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at
		}
	}
	return time.Time{}
}

func newJobWait(d *deps) *cobra.Command {
	var timeout wait
	cmd := &cobra.Command{
		Use: "wait ID", Short: "Wait until a job has ended, and print its state and result",
		Long: `Wait until a job has ended, and print its state and result. The exit code is 0 when it
completed, and 1 otherwise or when --timeout came first.`,
		Example: `  penstock job wait "$(penstock enqueue mail send)" --timeout 30s`,
		Args:    jobID,
	}
	cmd.Flags().Var(&timeout, "timeout", "how long to wait (default: for ever)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if timeout < 0 || timeout == 0 && cmd.Flags().Changed("timeout") {
			return command.Usagef("job wait: --timeout must be positive, got %s", time.Duration(timeout))
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobWait(ctx, d, client, d.Stdout, args, time.Duration(timeout), asJSON)
	})
}

// ending is what `job wait` prints.
type ending struct {
	ID         int64           `json:"id,string"`
	State      penstock.State  `json:"state"`
	Result     json.RawMessage `json:"result,omitempty"`
	ErrorClass string          `json:"errorClass,omitempty"`
	Error      string          `json:"error,omitempty"`
	RedrivenAs int64           `json:"redrivenAs,string,omitempty"`
}

func runJobWait(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, args []string, timeout time.Duration, asJSON bool) error {
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	within := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	job, err := client.Wait(within, id)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("job %d has not ended within %s: `penstock job explain %d` says why", id, terminal.Exact(timeout), id)
	} else if err != nil {
		return err
	}
	end := ending{ID: id, State: job.State, RedrivenAs: job.RedrivenAs}
	if n := len(job.Attempts); n > 0 {
		last := job.Attempts[n-1]
		end.Result, end.ErrorClass, end.Error = last.Result, last.ErrorClass, last.Message
	}
	if err := writeEnding(out, d, end, asJSON); err != nil {
		return err
	}
	if job.State != penstock.Completed {
		return fmt.Errorf("job %d did not complete: it is %s", id, job.State)
	}
	return nil
}

func writeEnding(out io.Writer, d *deps, end ending, asJSON bool) error {
	if asJSON {
		return terminal.WriteJSON(out, end)
	}
	var f terminal.Facts
	f.Add("state", state(string(end.State)))
	f.Add("result", terminal.Text(compact(end.Result)))
	if end.ErrorClass != "" {
		f.Add("error", terminal.Text(end.ErrorClass+": "+end.Error))
	}
	if end.RedrivenAs != 0 {
		f.Add("redriven", terminal.Text(fmt.Sprintf("as job %d", end.RedrivenAs)))
	}
	return f.Write(out, d.Screen, "")
}

// compact is JSON on one line; what is not JSON stays as it is.
func compact(document json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, document) != nil {
		return string(document)
	}
	return b.String()
}
