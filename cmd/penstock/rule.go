package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newRule(d *deps) *cobra.Command {
	cmd := command.Group("rule", "See, change and test what decides a job's priority",
		newRuleList(d), newRuleSet(d), newRuleRemove(d), newRuleTest(d))
	cmd.Long = `See, change and test what decides the priority of jobs that state none.

The first rule of the queue, by position, whose condition holds gives the weight;
else the queue's default does. Then the job's tags shift it ("penstock tag"). A
condition is a jsonpath over the job's data: a predicate that must be true, or a path
that must find something. It may use $tags, and the moments $now, $ago_1m, $ago_5m,
$ago_1h and $ago_1d, which compare with times in the data: with those written as
2026-01-31T12:00:00.000Z or with an offset, and with epoch milliseconds.`
	return cmd
}

func newRuleList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list [QUEUE]", Short: "List the rules in their order", Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames)}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runRuleList(ctx, d, client, d.Stdout, strings.Join(args, ""), asJSON)
	})
}

func runRuleList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue string, asJSON bool) error {
	rules, err := client.Priorities.Rules(ctx, queue)
	if err != nil {
		return err
	}
	if asJSON {
		return writeItems(out, rules, "")
	}
	if len(rules) == 0 {
		_, err := fmt.Fprintln(out, "There are no rules.")
		return err
	}
	list := terminal.Table{Heads: []string{"QUEUE", "POSITION", "PRIORITY", "CONDITION"}}
	for _, r := range rules {
		list.Add(terminal.Text(r.Queue), terminal.Cell{Text: strconv.Itoa(r.Position), Right: true}, terminal.Text(string(r.Priority)), terminal.Text(r.Condition))
	}
	if err := list.Write(out, d.Screen); err != nil {
		return err
	}
	for _, r := range rules {
		if r.Error == "" {
			continue
		}
		where := fmt.Sprintf("Rule %d of %s was passed over %s:", r.Position, terminal.Plain(r.Queue), terminal.Ago(*r.ErrorSeen, d.Now()))
		if _, err := fmt.Fprintf(out, "\n%s %s\n", d.Screen.Paint(terminal.Red, where), terminal.Plain(r.Error)); err != nil {
			return err
		}
	}
	return nil
}

// place is the queue and position that the first two arguments name.
func place(args []string) (queue string, position int, err error) {
	position, err = strconv.Atoi(args[1])
	if err != nil || position < 1 || position > 1000 {
		return "", 0, command.Usagef("rule: POSITION must be 1 to 1000, got %q", args[1])
	}
	return args[0], position, nil
}

func newRuleSet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set QUEUE POSITION CONDITION PRIORITY", Short: "Put a rule at its position, for jobs from now on",
		Example: `  penstock rule set deploy-contract 5 '$.chain == "mainnet" && $.value > 1000' critical
  penstock rule set index-market-news 30 '$.publishedAt < $ago_1d' low`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	var queue string
	var position int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		queue, position, err = place(args)
		return err
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		rule := penstock.PriorityRule{Queue: queue, Position: position, Condition: args[2], Priority: penstock.Priority(args[3])}
		if err := client.Priorities.SetRule(ctx, rule); err != nil {
			return err
		}
		return runRuleList(ctx, d, client, d.Stdout, queue, asJSON)
	})
}

func newRuleRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "remove QUEUE POSITION", Short: "Take a rule away, for jobs from now on", Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames)}
	var queue string
	var position int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		queue, position, err = place(args)
		return err
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		if err := client.Priorities.RemoveRule(ctx, queue, position); err != nil {
			return err
		}
		return runRuleList(ctx, d, client, d.Stdout, queue, asJSON)
	})
}

func newRuleTest(d *deps) *cobra.Command {
	var tags []string
	cmd := &cobra.Command{
		Use: "test QUEUE DATA|-", Short: "Tell which rule and which tags would decide a job's priority",
		Example: `  penstock rule test deploy-contract '{"environment":"production"}' --tag urgent`,
		Args:    command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "a tag of the job; may be repeated")
	var data json.RawMessage
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		data, err = readData(d.Stdin, args[1], "rule test: DATA")
		return err
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runRuleTest(ctx, d, client, d.Stdout, args[0], data, tags, asJSON)
	})
}

func runRuleTest(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue string, data json.RawMessage, tags []string, asJSON bool) error {
	decision, err := client.Priorities.Decide(ctx, queue, data, tags)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, decision)
	}
	rules, err := client.Priorities.Rules(ctx, queue)
	if err != nil {
		return err
	}
	shifts, err := client.Priorities.Tags(ctx)
	if err != nil {
		return err
	}
	var f terminal.Facts
	f.Add("rule", terminal.Text("none holds; the queue's default decides"))
	for _, r := range rules {
		if r.Position == decision.Rule {
			f.Rows = nil
			f.Add("rule", terminal.Text(fmt.Sprintf("%d: %s", r.Position, r.Condition)))
			f.Add("priority", terminal.Text(string(r.Priority)))
		}
	}
	f.Add("base", terminal.Text(strconv.Itoa(decision.Base)))
	var shifting []string
	for _, s := range shifts {
		if slices.Contains(decision.Tags, s.Tag) {
			shifting = append(shifting, fmt.Sprintf("%s %+d", s.Tag, s.Shift))
		}
	}
	f.Add("tags", terminal.Text(strings.Join(shifting, ", ")))
	f.Add("weight", terminal.Text(strconv.Itoa(decision.Weight)))
	f.Add("level", terminal.Text(decision.Level))
	for _, position := range slices.Sorted(maps.Keys(decision.Errors)) {
		f.Add("passed over", terminal.Cell{Text: terminal.Plain(fmt.Sprintf("rule %d: %s", position, decision.Errors[position])), Colour: terminal.Red})
	}
	return f.Write(out, d.Screen, "")
}
