package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// notEmpty refuses flags that were given and say nothing, as an unset shell variable
// does: an empty filter would choose everything. Those named must not be zero either.
func notEmpty(cmd *cobra.Command, notZero ...string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		said := f.Value.String()
		zero := said == "0" || said == "" && f.Value.Type() == "duration"
		if err == nil && (said == "" && !zero || zero && slices.Contains(notZero, f.Name)) {
			err = command.Usagef("%s: --%s was given without a value; leave it out to take the default", command.Path(cmd), f.Name)
		}
	})
	return err
}

// first is the first argument, empty without one.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// wait is a flag's duration, in days (7d) or as Go writes it (1h30m).
type wait time.Duration

// String is empty for none, so that help shows no default.
func (w *wait) String() string {
	if *w == 0 {
		return ""
	}
	return terminal.Exact(time.Duration(*w))
}
func (w *wait) Type() string { return "duration" }

func (w *wait) Set(text string) error {
	d, err := terminal.ParseDuration(text)
	if err == nil {
		*w = wait(d)
	}
	return err
}

// moment is a flag's point in time: itself, its day in UTC, or how long ago it was.
type moment struct {
	text string
	at   time.Time
	ago  wait
}

func (m *moment) String() string { return m.text }
func (m *moment) Type() string   { return "time" }

func (m *moment) Set(text string) error {
	m.text = text
	var err error
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if m.at, err = time.Parse(layout, text); err == nil {
			return nil
		}
	}
	if err := m.ago.Set(text); err != nil || m.ago < 0 {
		return fmt.Errorf("give a time (2026-01-31T12:00:00Z), a day (2026-01-31) or how long ago (2h, 7d)")
	}
	return nil
}

func (m *moment) relative() bool { return m.text != "" && m.at.IsZero() }

// before is the moment as seen at now; nil when the flag was not given.
func (m *moment) before(now time.Time) *time.Time {
	if m.text == "" {
		return nil
	}
	at := m.at
	if m.relative() {
		at = now.Add(-time.Duration(m.ago))
	}
	at = at.UTC()
	return &at
}

// paging is where a list begins and how long it is. A time given as "2h" counts from
// when the first page was asked for: the cursor carries that along, so that the same
// command with the cursor goes on in the same list.
type paging struct {
	limit  int
	cursor string
	asked  time.Time
}

func (p *paging) bind(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.limit, "limit", 50, "how many to list, 1 to 500")
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "go on where an earlier list of the same filters ended")
}

// begin checks the flags and sets asked.
func (p *paging) begin(cmd *cobra.Command, now time.Time) error {
	if p.limit < 1 || p.limit > 500 {
		return command.Usagef("%s: --limit must be 1 to 500, got %d", command.Path(cmd), p.limit)
	}
	p.asked = now.Truncate(time.Millisecond)
	if text, digits, ok := strings.Cut(p.cursor, "."); ok {
		if ms, err := strconv.ParseInt(digits, 36, 64); err == nil {
			p.cursor, p.asked = text, time.UnixMilli(ms)
		}
	}
	return nil
}

// next is the cursor to print for the library's.
func (p *paging) next(cursor string, times ...moment) string {
	if cursor != "" && slices.ContainsFunc(times, func(m moment) bool { return m.relative() }) {
		cursor += "." + strconv.FormatInt(p.asked.UnixMilli(), 36)
	}
	return cursor
}

// jobFlags choose jobs.
type jobFlags struct {
	queue, state, name, tag, class, where string
	since, until                          moment
}

func (f *jobFlags) bind(d *deps, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.queue, "queue", "", "of this queue")
	flags.StringVar(&f.state, "state", "", "in this state")
	flags.StringVar(&f.name, "name", "", "of this name")
	flags.StringVar(&f.tag, "tag", "", "with this tag")
	flags.StringVar(&f.class, "class", "", "whose last error is of this class")
	flags.Var(&f.since, "since", "enqueued then or later: a time, a day, or how long ago (2h, 7d)")
	flags.Var(&f.until, "until", "enqueued before then")
	flags.StringVar(&f.where, "where", "", `whose data satisfies this jsonpath, such as '$.n > 3'`)
	completeFlag(cmd, "queue", d.queueNames)
	completeFlag(cmd, "state", fixed(words(jobStates)...))
}

func (f *jobFlags) filter(now time.Time) penstock.JobFilter {
	return penstock.JobFilter{
		Queue: f.queue, State: penstock.State(f.state), Name: f.name, Tag: f.tag, Class: f.class,
		EnqueuedFrom: f.since.before(now), EnqueuedTo: f.until.before(now), Data: f.where,
	}
}

var jobFlagNames = []string{"queue", "state", "name", "tag", "class", "since", "until", "where"}

// jobStates are in the order of a job's life.
var jobStates = []penstock.State{
	penstock.Scheduled, penstock.Waiting, penstock.Running, penstock.Retrying, penstock.Completed, penstock.Cancelled,
	penstock.Expired, penstock.DeadState, penstock.Redriven, penstock.Purged,
}

// checkState refuses a state that is none of those allowed, which would choose nothing.
func (f *jobFlags) checkState(cmd *cobra.Command, allowed []penstock.State) error {
	if f.state != "" && !slices.Contains(allowed, penstock.State(f.state)) {
		return command.Usagef("%s: --state must be one of %s, got %q", command.Path(cmd), strings.Join(words(allowed), ", "), f.state)
	}
	return nil
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}
