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

// countMost is where counting for a question stops: nobody decides by the rest.
const countMost = 10_000

// change is one of the things that are done to one job or to all that a filter finds.
type change struct {
	action penstock.Action
	states []penstock.State // that it can change; in an order that misses none that moves on meanwhile
	would  string           // "cancel": %s are the jobs
	did    string           // "is cancelled"
	// one does it to one job and says what happened; asJSON is printed instead.
	one func(ctx context.Context, client *penstock.Client, id int64) (said string, asJSON any, err error)
	// argument is what ChangeJobs needs, once the flags are read.
	argument func() string
}

// changing makes the command of a change. check looks at its own flags.
func changing(d *deps, cmd *cobra.Command, c change, check func() error) *cobra.Command {
	var f jobFlags
	var dryRun, yes bool
	f.bind(d, cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say how many and which, and change nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, all that the filters find")
	cmd.Args = jobID
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		filtered := false
		for _, name := range append([]string{"dry-run", "yes"}, jobFlagNames...) {
			filtered = filtered || cmd.Flags().Changed(name)
		}
		if filtered && len(args) == 1 {
			return command.Usagef("%s: give one job id or filters, not both", command.Path(cmd))
		}
		if !anyChanged(cmd, jobFlagNames) && len(args) == 0 {
			return command.Usagef("%s: give one job id, or filters such as --queue and --name", command.Path(cmd))
		}
		if err := f.checkState(cmd, c.states); err != nil {
			return err
		}
		return check()
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(args) == 1 {
			return runChangeOne(ctx, client, d.Stdout, c, args[0], asJSON)
		}
		return runChangeMany(ctx, d, cmd, client, c, f.filter(d.Now()), dryRun, yes, asJSON)
	})
}

func anyChanged(cmd *cobra.Command, names []string) bool {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func runChangeOne(ctx context.Context, client *penstock.Client, out io.Writer, c change, arg string, asJSON bool) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	said, document, err := c.one(ctx, client, id)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, document)
	}
	_, err = fmt.Fprintf(out, "Job %d %s.\n", id, said)
	return err
}

// runChangeMany does a change to what the filter finds in each state it can change, so
// that it reads no finished jobs.
func runChangeMany(ctx context.Context, d *deps, cmd *cobra.Command, client *penstock.Client, c change, filter penstock.JobFilter, dryRun, yes, asJSON bool) error {
	states := c.states
	if filter.State != "" {
		states = []penstock.State{filter.State}
	}
	found, err := findJobs(ctx, client, filter, states)
	if err != nil {
		return err
	}
	if dryRun {
		return found.write(d, c, filter.Queue == "", asJSON)
	}
	var total int64
	if found.Jobs > 0 {
		if err := confirm(ctx, d, cmd, yes, fmt.Sprintf(c.would, found)); err != nil {
			return err
		}
		if total, err = changeAll(ctx, d, client, c, filter, states, found); err != nil {
			return fmt.Errorf("after %s: %w", terminal.Plural(total, "job"), err)
		}
	}
	if asJSON {
		return terminal.WriteJSON(d.Stdout, struct {
			Changed int64 `json:"changed"`
		}{total})
	}
	if total == 0 {
		_, err = fmt.Fprintln(d.Stdout, "No job matches; nothing was changed.")
		return err
	}
	_, err = fmt.Fprintf(d.Stdout, "%s %s.\n", terminal.Plural(total, "job"), c.did)
	return err
}

func changeAll(ctx context.Context, d *deps, client *penstock.Client, c change, filter penstock.JobFilter, states []penstock.State, found foundJobs) (total int64, err error) {
	var expected int64
	if !found.Capped {
		expected = int64(found.Jobs)
	}
	shown := terminal.NewProgress(d.Stderr, d.ErrScreen, d.Now, expected)
	defer shown.Clear()
	for _, state := range states {
		filter.State = state
		n, err := client.ChangeJobs(ctx, c.action, filter, c.argument(), func(n int64) { shown.Show(total+n, "changed", "") })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// foundJobs is what a filter finds, for a look before it is changed.
type foundJobs struct {
	DryRun bool               `json:"dryRun"`
	Jobs   int                `json:"jobs"`
	Capped bool               `json:"capped"` // there are more: counting stopped
	Sample []penstock.JobInfo `json:"sample"`
}

const sampleSize = 5

func findJobs(ctx context.Context, client *penstock.Client, filter penstock.JobFilter, states []penstock.State) (foundJobs, error) {
	found := foundJobs{DryRun: true, Sample: []penstock.JobInfo{}}
	for _, state := range states {
		filter.State = state
		count, err := client.CountJobs(ctx, filter, countMost)
		if err != nil {
			return found, err
		}
		found.Jobs, found.Capped = found.Jobs+count.Jobs, found.Capped || count.Capped
		if room := sampleSize - len(found.Sample); count.Jobs > 0 && room > 0 {
			page, err := client.Jobs(ctx, penstock.JobQuery{Filter: filter, Limit: room})
			if err != nil {
				return found, err
			}
			found.Sample = append(found.Sample, page.Items...)
		}
	}
	return found, nil
}

// String is "1 job", "12 jobs" or "10,000+ jobs".
func (f foundJobs) String() string {
	if f.Capped {
		return terminal.Thousands(int64(f.Jobs)) + "+ jobs"
	}
	return terminal.Plural(f.Jobs, "job")
}

func (f foundJobs) write(d *deps, c change, several, asJSON bool) error {
	if asJSON {
		return terminal.WriteJSON(d.Stdout, f)
	}
	if f.Jobs == 0 {
		_, err := fmt.Fprintln(d.Stdout, "No job matches: there is nothing to change.")
		return err
	}
	fmt.Fprintf(d.Stdout, "This would "+c.would+".\n", f)
	if len(f.Sample) < f.Jobs {
		fmt.Fprintln(d.Stdout, "Some of them:")
	}
	return jobTable(d, f.Sample, several).Write(d.Stdout, d.Screen)
}

// notWaiting says why a job that is not waiting was left alone.
func notWaiting(ctx context.Context, client *penstock.Client, id int64) error {
	job, err := client.Job(ctx, id)
	if err != nil {
		return err
	}
	return fmt.Errorf("job %d is %s, not waiting: nothing was changed", id, job.State)
}

// changedJob is what --json prints of one job that was changed.
type changedJob struct {
	ID      int64 `json:"id,string"`
	Changed bool  `json:"changed"`
}

// moved makes a change's one of a client's method that tells whether the job waited.
func moved(did string, move func(ctx context.Context, client *penstock.Client, id int64) (bool, error)) func(context.Context, *penstock.Client, int64) (string, any, error) {
	return func(ctx context.Context, client *penstock.Client, id int64) (string, any, error) {
		ok, err := move(ctx, client, id)
		if err == nil && !ok {
			err = notWaiting(ctx, client, id)
		}
		return did, changedJob{id, ok}, err
	}
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
