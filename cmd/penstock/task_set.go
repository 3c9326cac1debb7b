package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
)

func newTaskPause(d *deps) *cobra.Command {
	return newTaskSteer(d, "pause", "Keep a scheduled task from running; a run under way goes on", penstock.TaskClient.Pause)
}

func newTaskResume(d *deps) *cobra.Command {
	return newTaskSteer(d, "resume", "Let a paused task run again, from its next time on", penstock.TaskClient.Resume)
}

func newTaskSteer(d *deps, word, short string, steer func(penstock.TaskClient, context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: word + " TASK", Short: short, Args: command.Arguments, ValidArgsFunction: inOrder(d.taskNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := steer(client.Tasks, ctx, args[0]); err != nil {
			return err
		}
		return runTaskShow(ctx, d, client, args[0], asJSON)
	})
}

func newTaskSet(d *deps) *cobra.Command {
	var change penstock.TaskChange
	var settings []string
	cmd := &cobra.Command{
		Use: "set TASK", Short: "Change when a scheduled task runs and its settings, and show it",
		Long: `Change when a scheduled task runs and its settings, and show it. What is not given stays.

A schedule is a cron expression of five fields (minute, hour, day of month, month, day
of week) or six (seconds before them), @hourly, @daily, @weekly, @monthly, @yearly, or
"@every 90s". It counts by the clock of its time zone: a time that daylight saving
leaves out is made up for when the gap ends, and one that comes twice runs the first
time only, unless the schedule is of every hour.`,
		Example: `  penstock task set dlq-purge --schedule '30 3 * * sun' --time-zone Europe/Berlin
  penstock task set prune --setting taskRuns=14d`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.taskNames),
	}
	flags := cmd.Flags()
	flags.StringVar(&change.Schedule, "schedule", "", "when it runs, such as '0 2 * * *'")
	flags.StringVar(&change.TimeZone, "time-zone", "", "whose clock the schedule is by, such as UTC or Europe/Berlin")
	flags.StringArrayVar(&settings, "setting", nil, "NAME=VALUE, a number or a duration such as 7d; may be repeated")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if change.Schedule == "" && change.TimeZone == "" && len(settings) == 0 {
			return command.Usagef("task set: say what to set: --schedule, --time-zone or --setting")
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(settings) > 0 {
			t, err := client.Tasks.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if change.Settings, err = readSettings(settings, t.Limits); err != nil {
				return err
			}
		}
		if err := client.Tasks.Set(ctx, args[0], change); err != nil {
			return err
		}
		return runTaskShow(ctx, d, client, args[0], asJSON)
	})
}

// readSettings reads NAME=VALUE pairs; a setting in milliseconds takes a duration.
func readSettings(pairs []string, limits map[string]penstock.TaskLimit) (map[string]int64, error) {
	read := map[string]int64{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, command.Usagef("task set: --setting must be NAME=VALUE, got %q", pair)
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			read[name] = n
			continue
		}
		var w wait
		if err := w.Set(value); err != nil || limits[name].Unit != "ms" && limits[name].Unit != "days" {
			return nil, command.Usagef("task set: --setting %s must be a number or a duration, got %q", name, value)
		}
		if limits[name].Unit == "days" {
			read[name] = int64(time.Duration(w) / (24 * time.Hour))
		} else {
			read[name] = time.Duration(w).Milliseconds()
		}
	}
	return read, nil
}
