package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// Jobs that wait, in an order that misses none: what falls due meanwhile is met later.
var waitingStates = []penstock.State{penstock.Scheduled, penstock.Retrying, penstock.Waiting}

func newJobCancel(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel [ID]", Short: "End waiting jobs, or ask running ones to stop",
		Example: `  penstock job cancel 2078000000000001
  penstock job cancel --queue mail --name digest --dry-run
  penstock job cancel --queue mail --tag spring --since 1h --yes`,
	}
	return changing(d, cmd, change{
		action: penstock.ActionCancel, states: append(waitingStates[:3:3], penstock.Running),
		would: "cancel %s", did: "cancelled; those that run were told to stop",
		one: cancelOne, argument: func() string { return "" },
	}, func() error { return nil })
}

func cancelOne(ctx context.Context, client *penstock.Client, id int64) (said string, asJSON any, err error) {
	result, err := client.Cancel(ctx, id)
	said = map[penstock.CancelResult]string{
		penstock.CancelDone:    "was waiting and is cancelled",
		penstock.CancelAsked:   "is running; its worker was told to stop it",
		penstock.CancelTooLate: "had ended before; there was nothing to cancel",
	}[result]
	return said, struct {
		ID     int64                 `json:"id,string"`
		Result penstock.CancelResult `json:"result"`
	}{id, result}, err
}

func newJobReprioritize(d *deps) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "reprioritize [ID] --priority PRIORITY", Short: "Change the priority of waiting jobs",
		Example: `  penstock job reprioritize 2078000000000001 --priority critical
  penstock job reprioritize --queue mail --tag vip --priority 15 --yes`,
	}
	cmd.Flags().StringVar(&to, "priority", "", "low, normal, high, critical, or a weight from 1 to 100")
	completeFlag(cmd, "priority", fixed(priorityWords...))
	return changing(d, cmd, change{
		action: penstock.ActionReprioritize, states: waitingStates, would: "change the priority of %s", did: "changed",
		one: func(ctx context.Context, client *penstock.Client, id int64) (string, any, error) {
			return moved("has priority "+to, func(ctx context.Context, client *penstock.Client, id int64) (bool, error) {
				return client.Reprioritize(ctx, id, penstock.Priority(to))
			})(ctx, client, id)
		},
		argument: func() string { return to },
	}, func() error {
		if !cmd.Flags().Changed("priority") {
			return command.Usagef("job reprioritize: say the priority: --priority low, normal, high, critical, or a weight from 1 to 100")
		}
		return nil
	})
}

func newJobReschedule(d *deps) *cobra.Command {
	var runAt string
	var delay wait
	var at time.Time
	cmd := &cobra.Command{
		Use: "reschedule [ID] --run-at TIME | --delay DURATION", Short: "Change when waiting jobs may start",
		Example: `  penstock job reschedule 2078000000000001 --delay 2h
  penstock job reschedule --queue mail --name digest --run-at 2099-01-31T12:00:00Z --yes`,
	}
	cmd.Flags().StringVar(&runAt, "run-at", "", "no earlier than this, such as 2026-01-31T12:00:00Z")
	cmd.Flags().Var(&delay, "delay", "no earlier than this from now, such as 90s or 2h or 7d")
	return changing(d, cmd, change{
		action: penstock.ActionReschedule, states: waitingStates, would: "reschedule %s", did: "rescheduled",
		one: func(ctx context.Context, client *penstock.Client, id int64) (string, any, error) {
			return moved("is due "+terminal.Ago(at, d.Now()), func(ctx context.Context, client *penstock.Client, id int64) (bool, error) {
				return client.Reschedule(ctx, id, at)
			})(ctx, client, id)
		},
		argument: func() string { return rfc3339(at) },
	}, func() (err error) {
		if cmd.Flags().Changed("run-at") == cmd.Flags().Changed("delay") {
			return command.Usagef("job reschedule: say when: --run-at or --delay, one of them")
		}
		at = d.Now().Add(time.Duration(delay))
		if delay < 0 {
			return command.Usagef("job reschedule: --delay must be 0 or more, got %s", time.Duration(delay))
		}
		if runAt != "" {
			if at, err = time.Parse(time.RFC3339, runAt); err != nil {
				return command.Usagef("job reschedule: --run-at must be a time such as 2026-01-31T12:00:00Z, got %q", runAt)
			}
		}
		return nil
	})
}

func newJobRunNow(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run-now [ID]", Short: "Make scheduled and retrying jobs due at once",
		Example: `  penstock job run-now 2078000000000001
  penstock job run-now --queue mail --state retrying --yes`,
	}
	return changing(d, cmd, change{
		action: penstock.ActionRunNow, states: []penstock.State{penstock.Scheduled, penstock.Retrying},
		would: "make %s due now", did: "due now",
		one: moved("is due now", func(ctx context.Context, client *penstock.Client, id int64) (bool, error) {
			return client.RunNow(ctx, id)
		}),
		argument: func() string { return "" },
	}, func() error { return nil })
}
