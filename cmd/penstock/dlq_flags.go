package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
)

// deadFlags choose entries of the dead letter queue.
type deadFlags struct {
	reason, class, fingerprint, name, tag, where string
	since, until                                 moment
	retryable                                    bool
}

// deadReasons is why a job can be in the dead letter queue.
var deadReasons = []string{"exhausted", "non_retryable", "crash_loop", "timeout", "manual"}

func (f *deadFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "that died for this reason: "+strings.Join(deadReasons, ", "))
	flags.StringVar(&f.class, "class", "", "that died of an error of this class")
	flags.StringVar(&f.fingerprint, "fingerprint", "", "of this error group, as \"dlq groups\" tells it")
	flags.StringVar(&f.name, "name", "", "of this name")
	flags.StringVar(&f.tag, "tag", "", "with this tag")
	flags.Var(&f.since, "since", "that died then or later: a time, a day, or how long ago (2h, 7d)")
	flags.Var(&f.until, "until", "that died before then")
	flags.StringVar(&f.where, "where", "", `whose data satisfies this jsonpath, such as '$.n > 3'`)
	flags.BoolVar(&f.retryable, "retryable", false, "only what may be retried; =false: only what may not")
	completeFlag(cmd, "reason", fixed(deadReasons...))
}

// check refuses a reason there is not, which would choose nothing.
func (f *deadFlags) check(cmd *cobra.Command) error {
	if f.reason != "" && !slices.Contains(deadReasons, f.reason) {
		return command.Usagef("%s: --reason must be one of %s, got %q", command.Path(cmd), strings.Join(deadReasons, ", "), f.reason)
	}
	return nil
}

func (f *deadFlags) filter(cmd *cobra.Command, now time.Time) penstock.DeadFilter {
	filter := penstock.DeadFilter{
		Reason: f.reason, Class: f.class, Fingerprint: f.fingerprint, Name: f.name, Tag: f.tag,
		FailedFrom: f.since.before(now), FailedTo: f.until.before(now), Data: f.where,
	}
	if cmd.Flags().Changed("retryable") {
		filter.CanRetry = &f.retryable
	}
	return filter
}
