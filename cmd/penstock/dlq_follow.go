package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// unattended is how long a redrive stands still before that is worth a word.
const unattended = 10 * time.Second

// followRedrive watches an operation to its end, which is an error unless it is done.
func followRedrive(ctx context.Context, d *deps, client *penstock.Client, id int64, asJSON bool) error {
	shown, still := terminal.NewProgress(d.Stderr, d.ErrScreen, d.Now, 0), d.Now()
	var last penstock.Redrive
	for {
		r, err := client.DLQ.GetRedrive(ctx, id)
		if ctx.Err() != nil {
			shown.Clear()
			return leaveRunning(ctx, d, id)
		} else if err != nil {
			return err
		}
		if r.State != "running" && r.State != "paused" {
			shown.Clear()
			return endRedrive(d, r, asJSON)
		}
		if r.Redriven != last.Redriven || r.PassedOver != last.PassedOver || r.State != last.State || r.Note != last.Note {
			still, last = d.Now(), r
		}
		note := r.Note
		switch {
		case r.State == "paused":
			note = fmt.Sprintf("paused: penstock dlq redrive resume %d", id)
		case d.Now().Sub(still) >= unattended && note == "":
			note = "nobody carries it on: that takes a running penstock serve or worker"
		}
		shown.Total = r.Total
		shown.Show(r.Redriven+r.PassedOver, "redriven", note)
		pauseFor(ctx, followEvery)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// leaveRunning tells somebody who stopped watching what goes on without them.
func leaveRunning(ctx context.Context, d *deps, id int64) error {
	fmt.Fprintf(d.Stderr, "Redrive %d goes on without this command:\n", id)
	for _, verb := range []string{"status", "pause", "resume", "cancel"} {
		fmt.Fprintf(d.Stderr, "  %s dlq redrive %s %d\n", d.Program, verb, id)
	}
	return ctx.Err()
}

func endRedrive(d *deps, r penstock.Redrive, asJSON bool) error {
	if asJSON {
		if err := terminal.WriteJSON(d.Stdout, r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(d.Stdout, "Redrive %d of queue %s: %s redriven", r.ID, terminal.Plain(r.Queue), terminal.Plural(r.Redriven, "job"))
		if r.PassedOver > 0 {
			fmt.Fprintf(d.Stdout, ", %s passed over (redriven too often, or gone meanwhile)", terminal.Thousands(r.PassedOver))
		}
		fmt.Fprintln(d.Stdout, ".")
	}
	switch r.State {
	case "done":
		return nil
	case "stopped":
		return fmt.Errorf("redrive %d stopped: %s: `penstock dlq redrive resume %d`", r.ID, r.Note, r.ID)
	}
	return fmt.Errorf("redrive %d was %s", r.ID, r.State)
}

// redriveID takes the id of a redrive, if the command needs one.
func redriveID(cmd *cobra.Command, args []string) error {
	if err := command.Arguments(cmd, args); err != nil || len(args) == 0 {
		return err
	}
	_, err := parseRedriveID(args[0])
	return err
}

func parseRedriveID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, command.Usagef("a redrive's id is a whole number, as `penstock dlq redrive status` prints it, got %q", terminal.Clip(text, 40))
	}
	return id, nil
}

func newRedriveStatus(d *deps) *cobra.Command {
	var queue string
	cmd := &cobra.Command{
		Use: "status [ID]", Short: "Say how far a redrive is, or list the newest",
		Args: redriveID, ValidArgsFunction: inOrder(d.redriveIDs),
	}
	cmd.Flags().StringVar(&queue, "queue", "", "list those of this queue")
	completeFlag(cmd, "queue", d.queueNames)
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(args) == 0 {
			return runRedriveList(ctx, d, client, queue, asJSON)
		}
		id, err := parseRedriveID(args[0])
		if err != nil {
			return err
		}
		r, err := client.DLQ.GetRedrive(ctx, id)
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, r)
		}
		return writeRedrive(d.Stdout, d, r)
	})
}

func runRedriveList(ctx context.Context, d *deps, client *penstock.Client, queue string, asJSON bool) error {
	all, err := client.DLQ.ListRedrives(ctx, queue, 50)
	if err != nil {
		return err
	}
	if asJSON {
		return writeItems(d.Stdout, all, "")
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(d.Stdout, "There was no redrive yet.")
		return err
	}
	list := terminal.Table{Heads: []string{"ID", "QUEUE", "STATE", "REDRIVEN", "OF", "STARTED", "BY", "FILTER"}}
	for _, r := range all {
		list.Add(terminal.Number(r.ID), terminal.Text(r.Queue), state(r.State), terminal.Grouped(r.Redriven), terminal.Grouped(r.Total),
			terminal.Dimmed(terminal.Ago(r.CreatedAt, d.Now())), terminal.Text(r.StartedBy), terminal.Text(filterText(r.Filter)))
	}
	return list.Write(d.Stdout, d.Screen)
}

func writeRedrive(out io.Writer, d *deps, r penstock.Redrive) error {
	var f terminal.Facts
	f.Add("redrive", terminal.Number(r.ID))
	f.Add("queue", terminal.Text(r.Queue))
	f.Add("filter", terminal.Text(filterText(r.Filter)))
	f.Add("state", state(r.State))
	f.Add("note", terminal.Text(r.Note))
	f.Add("redriven", terminal.Text(fmt.Sprintf("%s of %s", terminal.Thousands(r.Redriven), terminal.Thousands(r.Total))))
	if r.PassedOver > 0 {
		f.Add("passed over", terminal.Text(terminal.Thousands(r.PassedOver)))
	}
	f.Add("rate", terminal.Text(terminal.Plural(r.Rate, "job")+" per second"))
	if r.Canary > 0 {
		f.Add("canary", terminal.Text(fmt.Sprintf("%s; stops when %g%% die of one error", terminal.Plural(r.Canary, "job"), r.CanaryShare*100)))
	}
	f.Add("up to", terminal.Text(fmt.Sprintf("generation %d", r.MaxGeneration)))
	f.Add("started", terminal.Text(terminal.Moment(r.CreatedAt, d.Now())+" by "+r.StartedBy))
	if r.FinishedAt != nil {
		f.Add("ended", terminal.Text(terminal.Moment(*r.FinishedAt, d.Now())))
	}
	return f.Write(out, d.Screen, "")
}

// newRedriveSteer makes the commands that change an operation's state.
func newRedriveSteer(d *deps, use, short string, steer func(penstock.DLQClient, context.Context, int64) (string, error)) *cobra.Command {
	wanted := map[string]string{"pause": "paused", "resume": "running", "cancel": "cancelled"}[use]
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Args: redriveID, ValidArgsFunction: inOrder(d.redriveIDs),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		id, err := parseRedriveID(args[0])
		if err != nil {
			return err
		}
		is, err := steer(client.DLQ, ctx, id)
		if err != nil {
			return err
		}
		if is != wanted {
			return fmt.Errorf("redrive %d is %s: it cannot be %s", id, is, map[string]string{
				"pause": "paused", "resume": "resumed", "cancel": "cancelled",
			}[use])
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				ID    int64  `json:"id,string"`
				State string `json:"state"`
			}{id, is})
		}
		_, err = fmt.Fprintf(d.Stdout, "Redrive %d is %s.\n", id, is)
		return err
	})
}
