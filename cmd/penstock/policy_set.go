package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
)

// policyFlags are the fields of a policy as flags; only those that were given are set.
type policyFlags struct {
	strategy                string
	delay, maxDelay         wait
	multiplier, jitter      float64
	maxAttempts             int
	retryable, nonRetryable []string
	reset                   []string
}

// policyNames are the fields' names in JSON, by their flags.
var policyNames = map[string]string{
	"type": "type", "delay": "delay", "max-delay": "maxDelay", "multiplier": "backoffMultiplier",
	"max-attempts": "maxAttempts", "jitter": "jitter", "retryable": "retryable", "non-retryable": "nonRetryable",
}

func (f *policyFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.strategy, "type", "", "exponential, linear, fixed or custom")
	flags.Var(&f.delay, "delay", "the first delay, such as 5s; up to 366d")
	flags.Var(&f.maxDelay, "max-delay", "no delay is longer, jitter included; up to 366d")
	flags.Float64Var(&f.multiplier, "multiplier", 0, "how an exponential delay grows, 1 to 1000")
	flags.IntVar(&f.maxAttempts, "max-attempts", 0, "runs in all, 1 to 100")
	flags.Float64Var(&f.jitter, "jitter", 0, "the share of a delay it is spread by, up and down, 0 to 1")
	flags.StringArrayVar(&f.nonRetryable, "non-retryable", nil, "error class that no retry mends, * for any text; may be repeated; '' for none")
	flags.StringArrayVar(&f.retryable, "retryable", nil, "error class that is retried even so; may be repeated; '' for none")
	flags.StringSliceVar(&f.reset, "reset", nil, "leave a field to the broader policy, by its flag's name; may be repeated")
}

// policy is what the flags set, and the fields they reset.
func (f *policyFlags) policy(flags *pflag.FlagSet, queue, name string) (p penstock.Policy, reset []string, err error) {
	p = penstock.Policy{Queue: queue, Name: name}
	for _, flag := range f.reset {
		field, known := policyNames[flag]
		if !known {
			return p, nil, command.Usagef("policy set: --reset takes %s, got %q", strings.Join(slices.Sorted(maps.Keys(policyNames)), ", "), flag)
		}
		if flags.Changed(flag) {
			return p, nil, command.Usagef("policy set: --%s is both set and reset; leave one out", flag)
		}
		reset = append(reset, field)
	}
	set := len(reset) > 0
	given := func(flag string) bool {
		set = set || flags.Changed(flag)
		return flags.Changed(flag)
	}
	if given("type") {
		p.Strategy = (*penstock.Strategy)(&f.strategy)
	}
	if given("delay") {
		p.Delay = (*penstock.Milliseconds)(&f.delay)
	}
	if given("max-delay") {
		p.MaxDelay = (*penstock.Milliseconds)(&f.maxDelay)
	}
	if given("multiplier") {
		p.Multiplier = &f.multiplier
	}
	if given("max-attempts") {
		p.MaxAttempts = &f.maxAttempts
	}
	if given("jitter") {
		p.Jitter = &f.jitter
	}
	if given("retryable") {
		p.Retryable = classList(f.retryable)
	}
	if given("non-retryable") {
		p.NonRetryable = classList(f.nonRetryable)
	}
	if !set {
		return p, nil, command.Usagef("policy set: say what to set, such as --max-attempts 5, or what to --reset")
	}
	return p, reset, nil
}

// classList takes a lone empty class for an empty list: a flag cannot say it otherwise.
func classList(given []string) []string {
	if len(given) == 1 && given[0] == "" {
		return []string{}
	}
	return given
}

func newPolicySet(d *deps) *cobra.Command {
	var f policyFlags
	var p penstock.Policy
	var reset []string
	cmd := &cobra.Command{
		Use:   "set QUEUE [NAME]",
		Short: "Change fields of a policy, and show what holds then",
		Long: `Change fields of the policy of a queue, or of a queue and name, and show what holds
then. Fields that are not given stay. QUEUE '*' is what every queue falls back on.`,
		Example: `  penstock policy set process-tts --type exponential --delay 2s --max-delay 1m --max-attempts 3
  penstock policy set deploy-contract deploy --non-retryable 'Http4*' --non-retryable InsufficientFunds
  penstock policy set deploy-contract deploy --reset non-retryable`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(cmd.Flags())
	completeFlag(cmd, "type", fixed("exponential", "linear", "fixed", "custom"))
	cmd.PreRunE = func(cmd *cobra.Command, args []string) (err error) {
		queue, name := target(args)
		p, reset, err = f.policy(cmd.Flags(), queue, name)
		return err
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		if err := client.Policies.Set(ctx, p, reset...); err != nil {
			return err
		}
		return runPolicyGet(ctx, d, client, d.Stdout, p.Queue, p.Name, asJSON)
	})
}

func newPolicyRemove(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove QUEUE [NAME]", Short: "Take a policy away, and show the broader one that holds then",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, name := target(args)
		if err := client.Policies.Remove(ctx, queue, name); err != nil {
			return err
		}
		return runPolicyGet(ctx, d, client, d.Stdout, queue, name, asJSON)
	})
}
