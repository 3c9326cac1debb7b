package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newPolicy(d *deps) *cobra.Command {
	cmd := command.Group("policy", "See, change and preview how failing jobs are retried",
		newPolicyList(d), newPolicyGet(d), newPolicySet(d), newPolicyRemove(d), newPolicyPreview(d))
	cmd.Long = `See, change and preview how failing jobs are retried.

A policy belongs to a queue and a name. What it leaves open comes from the queue's
(name *), and then from every queue's (queue * and name *). A change holds from the
next failure of every job that did not bring a strategy of its own. A job that waits for
a retry already keeps its time.`
	return cmd
}

// target is the queue and the name that arguments name; without a name it is *.
func target(args []string) (queue, name string) {
	if len(args) > 1 {
		return args[0], args[1]
	}
	return args[0], "*"
}

func newPolicyList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the policies as they are set; - is left to the broader one", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runPolicyList(ctx, d, client, d.Stdout, asJSON)
	})
}

func runPolicyList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	policies, err := client.Policies.List(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeItems(out, policies, "")
	}
	list := terminal.Table{Heads: []string{"QUEUE", "NAME", "TYPE", "DELAY", "MULTIPLIER", "MAX DELAY", "ATTEMPTS", "JITTER", "RETRYABLE", "NON-RETRYABLE"}}
	for _, p := range policies {
		row := []terminal.Cell{terminal.Text(p.Queue), terminal.Text(p.Name)}
		for _, field := range policyFields(p) {
			if field.value == "" {
				field.value = "-"
			}
			row = append(row, terminal.Text(field.value))
		}
		list.Add(row...)
	}
	return list.Write(out, d.Screen)
}

type policyField struct{ label, value string }

// policyFields are a policy's fields for people, empty where it leaves one open.
func policyFields(p penstock.Policy) []policyField {
	shown := func(given bool, value func() string) string {
		if !given {
			return ""
		}
		return value()
	}
	classes := func(list []string) string {
		return shown(list != nil, func() string {
			if len(list) == 0 {
				return "none"
			}
			return strings.Join(list, ", ")
		})
	}
	return []policyField{
		{"type", shown(p.Strategy != nil, func() string { return string(*p.Strategy) })},
		{"delay", shown(p.Delay != nil, func() string { return terminal.Exact(time.Duration(*p.Delay)) })},
		{"multiplier", shown(p.Multiplier != nil, func() string { return fmt.Sprintf("%g", *p.Multiplier) })},
		{"max delay", shown(p.MaxDelay != nil, func() string { return terminal.Exact(time.Duration(*p.MaxDelay)) })},
		{"max attempts", shown(p.MaxAttempts != nil, func() string { return fmt.Sprint(*p.MaxAttempts) })},
		{"jitter", shown(p.Jitter != nil, func() string { return percent(*p.Jitter) })},
		{"retryable", classes(p.Retryable)},
		{"non-retryable", classes(p.NonRetryable)},
	}
}

func newPolicyGet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get QUEUE [NAME]", Short: "Show what failing jobs of a queue and name are retried by",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, name := target(args)
		return runPolicyGet(ctx, d, client, d.Stdout, queue, name, asJSON)
	})
}

func runPolicyGet(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue, name string, asJSON bool) error {
	p, err := client.Policies.Get(ctx, queue, name, nil)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, p)
	}
	var f terminal.Facts
	f.Add("queue", terminal.Text(p.Queue))
	f.Add("name", terminal.Text(p.Name))
	for _, field := range policyFields(p) {
		f.Add(field.label, terminal.Text(field.value))
	}
	return f.Write(out, d.Screen, "")
}

func newPolicyPreview(d *deps) *cobra.Command {
	var retry string
	cmd := &cobra.Command{
		Use: "preview QUEUE [NAME]", Short: "Print the schedule that a job sees that keeps failing",
		Example: `  penstock policy preview deploy-contract
  penstock policy preview process-tts --retry '{"type":"fixed","delay":0}'`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	cmd.Flags().StringVar(&retry, "retry", "", "what the job brings of its own: a retry strategy as JSON")
	var own *penstock.RetryStrategy
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if cmd.Flags().Changed("retry") {
			own, err = parseRetry(retry)
		}
		return err
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, name := target(args)
		return runPolicyPreview(ctx, d, client, d.Stdout, queue, name, own, asJSON)
	})
}

func runPolicyPreview(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue, name string, own *penstock.RetryStrategy, asJSON bool) error {
	p, err := client.Policies.Get(ctx, queue, name, own)
	if err != nil {
		return err
	}
	schedule, err := client.Policies.Preview(ctx, queue, name, own)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, struct {
			Policy   penstock.Policy         `json:"policy"`
			Schedule []penstock.RetryPreview `json:"schedule"`
		}{p, schedule})
	}
	list := terminal.Table{Heads: []string{"FAILURE", "RETRIED AFTER", "WITH JITTER", "IN ALL"}}
	for _, r := range schedule {
		spread := ""
		if r.Least != r.Most {
			spread = about(r.Least) + " to " + about(r.Most)
		}
		list.Add(terminal.Number(r.Failures), terminal.Text(about(r.Usual)), terminal.Dimmed(spread), terminal.Text(about(r.UsualTotal)))
	}
	if len(schedule) > 0 {
		if err := list.Write(out, d.Screen); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	_, err = fmt.Fprintf(out, "Failure %d is final: the job goes to the dead letter queue.\n", len(schedule)+1)
	if err == nil && *p.Strategy == penstock.Custom {
		_, err = fmt.Fprintln(out, "The strategy is custom: these delays serve where the handler's function gives none.")
	}
	return err
}

// about is a duration to three digits or so: what jitter leaves of more is noise.
func about(ms penstock.Milliseconds) string {
	d := time.Duration(ms)
	for _, step := range []struct{ from, unit time.Duration }{
		{100 * time.Hour, time.Hour}, {2 * time.Hour, time.Minute}, {time.Minute, time.Second}, {time.Second, 10 * time.Millisecond},
	} {
		if d >= step.from {
			return terminal.Exact(d.Round(step.unit))
		}
	}
	return terminal.Exact(d.Round(time.Millisecond))
}

func percent(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }
