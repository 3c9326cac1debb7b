package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newQueueList(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the queues that hold jobs or have settings, with how many are in each state",
		Args: command.Arguments,
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runQueueList(ctx, d, client, d.Stdout, asJSON)
	})
}

// queueLine is a queue's counts and whether it hands out jobs.
type queueLine struct {
	penstock.QueueCounts
	Paused bool `json:"paused"`
}

func runQueueList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	queues, err := client.Queues.List(ctx)
	if err != nil {
		return err
	}
	lines := make([]queueLine, len(queues))
	list := terminal.Table{Heads: []string{"QUEUE", "WAITING", "SCHEDULED", "RETRYING", "RUNNING", "DEAD", "STATE"}}
	for i, q := range queues {
		c := q.Counts
		lines[i] = queueLine{c, q.Paused}
		how := ""
		if q.Paused {
			how = "paused"
		}
		dead := terminal.Grouped(c.Dead)
		if c.Dead > 0 {
			dead.Colour = terminal.Red
		}
		list.Add(terminal.Text(c.Queue), terminal.Grouped(c.Waiting), terminal.Grouped(c.Scheduled), terminal.Grouped(c.Retrying), terminal.Grouped(c.Running), dead, state(how))
	}
	if asJSON {
		return writeItems(out, lines, "")
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintln(out, "No job waits, runs or is dead, and no queue has settings of its own.")
		return err
	}
	return list.Write(out, d.Screen)
}

func newQueuePause(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause QUEUE", Short: "Stop handing out a queue's jobs; running ones finish, enqueue goes on",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Queues.Pause(ctx, args[0]); err != nil {
			return err
		}
		return writePaused(ctx, client, d.Stdout, args[0], asJSON)
	})
}

func newQueueResume(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume QUEUE", Short: "Hand out a paused queue's jobs again",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Queues.Resume(ctx, args[0]); err != nil {
			return err
		}
		return writePaused(ctx, client, d.Stdout, args[0], asJSON)
	})
}

// writePaused says how a queue stands now.
func writePaused(ctx context.Context, client *penstock.Client, out io.Writer, queue string, asJSON bool) error {
	settings, err := client.Queues.Settings(ctx, queue)
	if err != nil {
		return err
	}
	counts, err := client.Queues.Counts(ctx, queue)
	if err != nil {
		return err
	}
	line := queueLine{penstock.QueueCounts{Queue: queue}, settings.Paused}
	if len(counts) == 1 {
		line.QueueCounts = counts[0]
	}
	if asJSON {
		return terminal.WriteJSON(out, line)
	}
	due := terminal.Plural(line.Waiting, "waiting job")
	if line.Paused {
		_, err = fmt.Fprintf(out, "Queue %s is paused: %s, %s to finish; enqueue goes on.\n", terminal.Plain(queue), due,
			terminal.Plural(line.Running, "running job"))
		return err
	}
	_, err = fmt.Fprintf(out, "Queue %s hands out jobs: %s.\n", terminal.Plain(queue), due)
	return err
}
