package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newBreaker(d *deps) *cobra.Command {
	cmd := command.Group("breaker", "Turn circuit breakers on and off", newBreakerSet(d), newBreakerRemove(d))
	cmd.Long = `Turn circuit breakers on and off.

A breaker opens when a share of the attempts within a span fail. While it is open its
jobs wait without spending attempts, and one at a time is let through as a probe: a
probe that succeeds closes the breaker. Without a NAME each name of the queue has a
breaker of its own. "penstock queue show" tells which are open.`
	return cmd
}

func newBreakerSet(d *deps) *cobra.Command {
	var share float64
	var least int
	var within, coolDown wait
	cmd := &cobra.Command{
		Use: "set QUEUE [NAME]", Short: "Turn a breaker on, or change what is given of it",
		Example: `  penstock breaker set process-tts
  penstock breaker set deploy-contract deploy --failure-share 0.8 --least-attempts 5 --cool-down 2m`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	flags := cmd.Flags()
	flags.Float64Var(&share, "failure-share", 0, "opens at this share of failures, above 0 up to 1 (0.5 for a new one)")
	flags.IntVar(&least, "least-attempts", 0, "of at least so many attempts, 1 to 100000 (20 for a new one)")
	flags.Var(&within, "span", "within this time, 1s to 1h (30s for a new one)")
	flags.Var(&coolDown, "cool-down", "between two probes, 1s to 1d (30s for a new one)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		return notEmpty(cmd, "failure-share", "least-attempts", "span", "cool-down")
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, name := target(args)
		b := penstock.Breaker{Queue: queue, Name: name}
		known, err := client.Breakers.List(ctx, queue)
		if err != nil {
			return err
		}
		for _, set := range known.Settings {
			if set.Name == name {
				b = set
			}
		}
		if flags.Changed("failure-share") {
			b.FailureShare = share
		}
		if flags.Changed("least-attempts") {
			b.LeastAttempts = least
		}
		if flags.Changed("span") {
			b.Span = penstock.Milliseconds(within)
		}
		if flags.Changed("cool-down") {
			b.CoolDown = penstock.Milliseconds(coolDown)
		}
		if err := client.Breakers.Set(ctx, b); err != nil {
			return err
		}
		return runBreakers(ctx, d, client, d.Stdout, queue, asJSON)
	})
}

func newBreakerRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove QUEUE [NAME]", Short: "Turn a breaker off",
		Long: "Turn a breaker off. What it has put off runs by the moment its next probe would have.",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, name := target(args)
		if err := client.Breakers.Remove(ctx, queue, name); err != nil {
			return err
		}
		return runBreakers(ctx, d, client, d.Stdout, queue, asJSON)
	})
}

// breakers are a queue's breakers and what became of them.
type breakers struct {
	Breakers []penstock.Breaker      `json:"breakers"`
	States   []penstock.BreakerState `json:"breakerStates"`
}

func runBreakers(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue string, asJSON bool) error {
	var b breakers
	var err error
	report, err := client.Breakers.List(ctx, queue)
	if err != nil {
		return err
	}
	b.Breakers, b.States = report.Settings, report.States
	if asJSON {
		return terminal.WriteJSON(out, b)
	}
	if len(b.Breakers) == 0 {
		_, err := fmt.Fprintf(out, "No breaker of %s is on.\n", terminal.Plain(queue))
		return err
	}
	return b.write(out, d)
}

func (b breakers) write(out io.Writer, d *deps) error {
	list := terminal.Table{Heads: []string{"BREAKER", "OPENS AT", "WITHIN", "PROBES EVERY"}}
	for _, s := range b.Breakers {
		list.Add(terminal.Text(s.Name), terminal.Text(fmt.Sprintf("%s of %d or more", percent(s.FailureShare), s.LeastAttempts)),
			terminal.Text(terminal.Exact(time.Duration(s.Span))), terminal.Text(terminal.Exact(time.Duration(s.CoolDown))))
	}
	if err := list.Write(out, d.Screen); err != nil || len(b.States) == 0 {
		return err
	}
	fmt.Fprintln(out)
	now := d.Now()
	list = terminal.Table{Heads: []string{"NAME", "STATE", "SINCE", "NEXT PROBE", "OPENED BY"}}
	for _, s := range b.States {
		word, probe := state("closed"), ""
		if s.Open {
			word = terminal.Cell{Text: "open", Colour: terminal.Red}
		}
		if s.NextProbeAt != nil {
			probe = terminal.Ago(*s.NextProbeAt, now)
		}
		list.Add(terminal.Text(s.Name), word, terminal.Dimmed(terminal.Ago(s.ChangedAt, now)), terminal.Text(probe),
			terminal.Text(fmt.Sprintf("%s of %s", terminal.Plural(s.Failures, "failure"), terminal.Plural(s.Attempts, "attempt"))))
	}
	return list.Write(out, d.Screen)
}
