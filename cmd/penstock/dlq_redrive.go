package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newDLQRetry(d *deps) *cobra.Command {
	var edit string
	cmd := &cobra.Command{
		Use: "retry ENTRY", Short: "Send one dead job back to its queue, with other data if wished",
		Long: `Send one dead job back to its queue as a new job, with other data if wished. ENTRY is
dlq_<job>_<attempt>, as "dlq list" prints it: repeating the call cannot touch a later
death, and gives the same new job. A job's id is understood too while it is dead.`,
		Example: `  penstock dlq retry dlq_2078000000000001_5
  penstock dlq retry dlq_2078000000000001_5 --data '{"to":"someone else"}'`,
		Args: entryArg, ValidArgsFunction: inOrder(d.entries),
	}
	cmd.Flags().StringVar(&edit, "data", "", "JSON in place of the job's data; - reads it from stdin")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		var data any // nil keeps the job's
		if edit != "" {
			document, err := readData(d.Stdin, edit, "dlq retry: --data")
			if err != nil {
				return err
			}
			data = document
		}
		queue, entry, err := entryOf(ctx, client, args[0])
		if err != nil {
			return err
		}
		id, err := client.DLQ.RedriveJob(ctx, queue, entry, data)
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				Entry string `json:"entry"`
				ID    int64  `json:"id,string"`
			}{entry, id})
		}
		_, err = fmt.Fprintf(d.Stdout, "%s is redriven as job %d.\n", entry, id)
		return err
	})
}

// entryOf is the queue and the entry that an entry's id, or a job's own, names. An entry's id
// also names one that has left the queue, so that a repeat works after the first call.
func entryOf(ctx context.Context, client *penstock.Client, named string) (queue, entry string, err error) {
	if !strings.HasPrefix(named, "dlq_") {
		return findEntry(ctx, client, named)
	}
	id, err := entryJob(named)
	if err != nil {
		return "", "", err
	}
	e, err := client.Explain(ctx, id)
	if errors.Is(err, penstock.ErrJobNotFound) {
		err = fmt.Errorf("no dead job %s: %w", named, penstock.ErrDeadJobNotFound)
	}
	if err != nil {
		return "", "", err
	}
	return e.Queue, named, nil
}

type redriveFlags struct {
	deadFlags
	rate, canary, maxGeneration int
	canaryShare                 float64
	dryRun, yes, detach         bool
}

func newDLQRedrive(d *deps) *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use: "redrive QUEUE", Short: "Send many dead jobs back to their queue, at a rate, after a canary",
		Long: `Send back to its queue whatever of it is dead now and satisfies the filters. Running
servers and workers carry the operation on; this command only watches it, and
interrupting it leaves the operation running. A queue named as one of the commands
below goes after --.

With a canary so many go first, and the rest only when fewer than a share of those
died of one error.`,
		Example: `  penstock dlq redrive mail --class SMTPError --since 1d --dry-run
  penstock dlq redrive mail --fingerprint 3f2a9c0d1e8b7a65 --canary 20 --rate 500 --yes`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(cmd)
	flags := cmd.Flags()
	flags.IntVar(&f.rate, "rate", 1000, "jobs per second at most, 1 to 100000")
	flags.IntVar(&f.canary, "canary", 0, "so many go first, up to 1000 (default: no canary)")
	flags.Float64Var(&f.canaryShare, "canary-share", 0.5, "stop when this share of the canary died of one error, above 0 to 1")
	flags.IntVar(&f.maxGeneration, "max-generation", 10, "leave jobs that were redriven so often already, 1 to 100")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say how many and which, and send nothing")
	flags.BoolVar(&f.yes, "yes", false, "yes, send them back")
	flags.BoolVar(&f.detach, "detach", false, "print the operation's id instead of watching it")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return f.check(cmd) }
	cmd.AddCommand(newRedriveStatus(d),
		newRedriveSteer(d, "pause", "Pause a redrive", penstock.DLQClient.PauseRedrive),
		newRedriveSteer(d, "resume", "Go on with a redrive that is paused, or that its canary stopped", penstock.DLQClient.ResumeRedrive),
		newRedriveSteer(d, "cancel", "End a redrive; what was sent back stays so", penstock.DLQClient.CancelRedrive))
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runDLQRedrive(ctx, d, cmd, client, args[0], f, asJSON)
	})
}

// check refuses zeros, which the library would take for its defaults.
func (f *redriveFlags) check(cmd *cobra.Command) error {
	switch {
	case f.rate < 1 || f.rate > 100_000:
		return command.Usagef("dlq redrive: --rate must be 1 to 100000 jobs per second, got %d", f.rate)
	case f.canary < 0 || f.canary > 1000:
		return command.Usagef("dlq redrive: --canary must be 0 to 1000 jobs, got %d", f.canary)
	case !(f.canaryShare > 0 && f.canaryShare <= 1):
		return command.Usagef("dlq redrive: --canary-share must be above 0 and at most 1, got %g", f.canaryShare)
	case f.maxGeneration < 1 || f.maxGeneration > 100:
		return command.Usagef("dlq redrive: --max-generation must be 1 to 100, got %d", f.maxGeneration)
	}
	return f.deadFlags.check(cmd)
}

func runDLQRedrive(ctx context.Context, d *deps, cmd *cobra.Command, client *penstock.Client, queue string, f redriveFlags, asJSON bool) error {
	filter := f.filter(cmd, d.Now())
	found, err := findDead(ctx, client, queue, filter)
	if err != nil {
		return err
	}
	if f.dryRun {
		return found.write(d, "redrive", queue, asJSON)
	}
	if found.Jobs == 0 {
		found.DryRun = false
		return found.write(d, "redrive", queue, asJSON)
	}
	if err := confirm(ctx, d, cmd, f.yes, "redrive "+found.in(queue)); err != nil {
		return err
	}
	id, err := client.DLQ.Redrive(ctx, penstock.RedriveRequest{
		Queue: queue, Filter: filter, Rate: f.rate, Canary: f.canary, CanaryShare: f.canaryShare, MaxGeneration: f.maxGeneration,
	})
	if errors.Is(err, penstock.ErrConflict) {
		return fmt.Errorf("%w; wait for it, or end it with `penstock dlq redrive cancel ID`", err)
	} else if err != nil {
		return err
	}
	if !f.detach {
		fmt.Fprintf(d.Stderr, "Redrive %d began: %s.\n", id, found.in(queue))
		return followRedrive(ctx, d, client, id, asJSON)
	}
	if asJSON {
		r, err := client.DLQ.GetRedrive(ctx, id)
		if err != nil {
			return err
		}
		return terminal.WriteJSON(d.Stdout, r)
	}
	_, err = fmt.Fprintln(d.Stdout, id)
	return err
}

// filterText is a filter's fields that choose anything, as JSON on a line.
func filterText(filter penstock.DeadFilter) string {
	document, err := json.Marshal(filter)
	if err != nil || string(document) == "{}" {
		return ""
	}
	return string(document)
}

// followEvery is how often a redrive that is watched is asked about.
const followEvery = 250 * time.Millisecond
