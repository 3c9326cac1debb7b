package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newLevel(d *deps) *cobra.Command {
	return command.Group("level", "See and change the names of priority weights", newLevelList(d), newLevelSet(d), newLevelRemove(d))
}

func newLevelList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the levels by their weight", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runLevelList(ctx, d, client, d.Stdout, asJSON)
	})
}

func runLevelList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	levels, err := client.Priorities.Levels(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeItems(out, levels, "")
	}
	list := terminal.Table{Heads: []string{"WEIGHT", "LEVEL"}}
	for _, l := range levels {
		list.Add(terminal.Number(l.Weight), terminal.Text(l.Level))
	}
	return list.Write(out, d.Screen)
}

func newLevelSet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set LEVEL WEIGHT", Short: "Add a level or change its weight, 1 to 100, for jobs and rules from now on",
		Example: "  penstock level set panic 90", Args: command.Arguments,
	}
	var weight int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		weight, err = strconv.Atoi(args[1])
		if err != nil || weight < 1 || weight > 100 {
			return command.Usagef("level set: WEIGHT must be 1 to 100, got %q", args[1])
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: args[0], Weight: weight}); err != nil {
			return err
		}
		return runLevelList(ctx, d, client, d.Stdout, asJSON)
	})
}

func newLevelRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "remove LEVEL", Short: "Take a level away that no rule uses", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: args[0]}); err != nil {
			return err
		}
		return runLevelList(ctx, d, client, d.Stdout, asJSON)
	})
}

func newTag(d *deps) *cobra.Command {
	return command.Group("tag", "See and change how tags shift a job's priority", newTagList(d), newTagSet(d), newTagRemove(d))
}

func newTagList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tags that shift a weight", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runTagList(ctx, d, client, d.Stdout, asJSON)
	})
}

func runTagList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	tags, err := client.Priorities.Tags(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeItems(out, tags, "")
	}
	list := terminal.Table{Heads: []string{"SHIFT", "TAG"}}
	for _, t := range tags {
		list.Add(terminal.Cell{Text: fmt.Sprintf("%+d", t.Shift), Right: true}, terminal.Text(t.Tag))
	}
	return list.Write(out, d.Screen)
}

func newTagSet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set [--json] TAG SHIFT", Short: "Add a tag or change by how much it shifts a weight, -99 to 99",
		Example: "  penstock tag set vip +8\n  penstock tag set backfill -4", Args: command.Arguments,
	}
	cmd.Flags().SetInterspersed(false) // what follows the tag is a number, not a flag: -4
	var shift int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		shift, err = strconv.Atoi(args[1])
		if err != nil || shift == 0 || shift < -99 || shift > 99 {
			return command.Usagef("tag set: SHIFT must be -99 to 99 and not 0, got %q", args[1])
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetTag(ctx, penstock.PriorityTag{Tag: args[0], Shift: shift}); err != nil {
			return err
		}
		return runTagList(ctx, d, client, d.Stdout, asJSON)
	})
}

func newTagRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "remove TAG", Short: "Let a tag shift nothing any more", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetTag(ctx, penstock.PriorityTag{Tag: args[0]}); err != nil {
			return err
		}
		return runTagList(ctx, d, client, d.Stdout, asJSON)
	})
}
