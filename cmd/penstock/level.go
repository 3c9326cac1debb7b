package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
)

func newLevel(d *deps) *cobra.Command {
	return group("level", "See and change the names of priority weights", newLevelList(d), newLevelSet(d), newLevelRemove(d))
}

func newLevelList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the levels by their weight", Args: cobra.NoArgs}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runLevelList(ctx, d, client, d.stdout, asJSON)
	})
}

func runLevelList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	levels, err := client.Priorities.Levels(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, struct {
			Levels []penstock.PriorityLevel `json:"levels"`
		}{levels})
	}
	list := table{heads: []string{"WEIGHT", "LEVEL"}}
	for _, l := range levels {
		list.add(number(l.Weight), text(l.Level))
	}
	return list.write(out, d.screen)
}

func newLevelSet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set LEVEL WEIGHT", Short: "Add a level or change its weight, 1 to 100, for jobs and rules from now on",
		Example: "  penstock level set panic 90", Args: cobra.ExactArgs(2),
	}
	var weight int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		weight, err = strconv.Atoi(args[1])
		if err != nil || weight < 1 || weight > 100 {
			return usagef("level set: WEIGHT must be 1 to 100, got %q", args[1])
		}
		return nil
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: args[0], Weight: weight}); err != nil {
			return err
		}
		return runLevelList(ctx, d, client, d.stdout, asJSON)
	})
}

func newLevelRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "remove LEVEL", Short: "Take a level away that no rule uses", Args: cobra.ExactArgs(1)}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: args[0]}); err != nil {
			return err
		}
		return runLevelList(ctx, d, client, d.stdout, asJSON)
	})
}

func newTag(d *deps) *cobra.Command {
	return group("tag", "See and change how tags shift a job's priority", newTagList(d), newTagSet(d), newTagRemove(d))
}

func newTagList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tags that shift a weight", Args: cobra.NoArgs}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		return runTagList(ctx, d, client, d.stdout, asJSON)
	})
}

func runTagList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, asJSON bool) error {
	tags, err := client.Priorities.Tags(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, struct {
			Tags []penstock.PriorityTag `json:"tags"`
		}{tags})
	}
	list := table{heads: []string{"SHIFT", "TAG"}}
	for _, t := range tags {
		list.add(cell{text: fmt.Sprintf("%+d", t.Shift), right: true}, text(t.Tag))
	}
	return list.write(out, d.screen)
}

func newTagSet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set [--json] TAG SHIFT", Short: "Add a tag or change by how much it shifts a weight, -99 to 99",
		Example: "  penstock tag set vip +8\n  penstock tag set backfill -4", Args: cobra.ExactArgs(2),
	}
	cmd.Flags().SetInterspersed(false) // what follows the tag is a number, not a flag: -4
	var shift int
	cmd.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		shift, err = strconv.Atoi(args[1])
		if err != nil || shift == 0 || shift < -99 || shift > 99 {
			return usagef("tag set: SHIFT must be -99 to 99 and not 0, got %q", args[1])
		}
		return nil
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetTag(ctx, penstock.PriorityTag{Tag: args[0], Shift: shift}); err != nil {
			return err
		}
		return runTagList(ctx, d, client, d.stdout, asJSON)
	})
}

func newTagRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "remove TAG", Short: "Let a tag shift nothing any more", Args: cobra.ExactArgs(1)}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Priorities.SetTag(ctx, penstock.PriorityTag{Tag: args[0]}); err != nil {
			return err
		}
		return runTagList(ctx, d, client, d.stdout, asJSON)
	})
}
