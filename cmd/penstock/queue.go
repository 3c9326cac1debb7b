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

func newQueue(d *deps) *cobra.Command {
	return command.Group("queue", "List queues, look at one, change, pause or resume it", newQueueList(d), newQueueShow(d),
		newQueueSet(d), newQueuePause(d), newQueueResume(d))
}

func newQueueShow(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show QUEUE", Short: "Show a queue's jobs by state and priority, its settings and its breakers",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runQueueShow(ctx, d, client, d.Stdout, args[0], asJSON)
	})
}

// queueReport is all that `queue show` tells.
type queueReport struct {
	penstock.QueueInfo
	Priorities []penstock.PriorityShare `json:"priorities"`
	breakers
}

func readQueue(ctx context.Context, client *penstock.Client, queue string) (r queueReport, err error) {
	if r.QueueInfo, err = client.Queues.Get(ctx, queue); err != nil {
		return r, err
	}
	if r.Priorities, err = client.Priorities.Distribution(ctx, queue); err != nil {
		return r, err
	}
	breakers, err := client.Breakers.List(ctx, queue)
	r.Breakers, r.States = breakers.Settings, breakers.States
	return r, err
}

func runQueueShow(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue string, asJSON bool) error {
	r, err := readQueue(ctx, client, queue)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, r)
	}
	var f terminal.Facts
	f.Add("queue", terminal.Text(r.Queue))
	if r.Paused {
		f.Add("state", terminal.Cell{Text: "paused", Colour: terminal.Yellow})
	}
	f.Add("waiting", terminal.Number(r.Counts.Waiting))
	f.Add("scheduled", terminal.Number(r.Counts.Scheduled))
	f.Add("retrying", terminal.Number(r.Counts.Retrying))
	f.Add("running", terminal.Number(r.Counts.Running))
	f.Add("dead", terminal.Number(r.Counts.Dead))
	f.Add("default priority", terminal.Number(r.DefaultPriority))
	f.Add("aging", terminal.Text(aging(r.Aging)))
	if err := f.Write(out, d.Screen, ""); err != nil {
		return err
	}
	if len(r.Priorities) > 0 {
		list := terminal.Table{Heads: []string{"WEIGHT", "LEVEL", "WAITING", "SCHEDULED", "RUNNING"}}
		for _, p := range r.Priorities {
			list.Add(terminal.Number(p.Weight), terminal.Text(p.Level), terminal.Number(p.Waiting), terminal.Number(p.Scheduled), terminal.Number(p.Running))
		}
		fmt.Fprintln(out)
		if err := list.Write(out, d.Screen); err != nil {
			return err
		}
	}
	if len(r.Breakers) > 0 {
		fmt.Fprintln(out)
		return r.breakers.write(out, d)
	}
	return nil
}

func aging(rate float64) string {
	if rate == 0 {
		return "off"
	}
	return fmt.Sprintf("%g weight per second of waiting", rate)
}

func newQueueSet(d *deps) *cobra.Command {
	var rate float64
	var priority string
	var change penstock.QueueChange
	cmd := &cobra.Command{
		Use:   "set QUEUE",
		Short: "Change settings of a queue, and show it",
		Long: `Change settings of a queue, and show it. Settings that are not given stay.

With aging a waiting job gains weight each second, in the eyes of whoever claims: one
of weight W is overtaken only by those of weight V that come within (V - W) / aging
seconds of it, however many there are.`,
		Example: `  penstock queue set process-tts --aging 0.1
  penstock queue set index-market-news --default-priority low`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	flags := cmd.Flags()
	flags.Float64Var(&rate, "aging", 0, "weight that a waiting job gains per second: 0 (off), or 0.00001 to 1000")
	flags.StringVar(&priority, "default-priority", "", "of jobs that state none and that no rule matches: a level, or 1 to 100")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if flags.Changed("aging") {
			change.Aging = &rate
		}
		change.DefaultPriority = penstock.Priority(priority)
		if change == (penstock.QueueChange{}) {
			return command.Usagef("queue set: say what to set: --aging or --default-priority")
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Queues.Set(ctx, args[0], change); err != nil {
			return err
		}
		return runQueueShow(ctx, d, client, d.Stdout, args[0], asJSON)
	})
}
