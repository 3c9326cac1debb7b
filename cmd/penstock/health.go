package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// unhealthy is the error of `penstock health` when there are issues. The issues have been
// printed; the exit code repeats the status as monitoring systems read it.
type unhealthy struct{ status penstock.HealthStatus }

func (u unhealthy) Error() string { return "health: " + string(u.status) }

func (u unhealthy) Answer() int {
	if u.status == penstock.StatusCritical {
		return 2
	}
	return 1
}

func newHealth(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [QUEUE]",
		Short: "Show what is wrong with the queues and the database, and what to do about it",
		Long: `Show what is wrong with the queues and the database, and what to do about it.

The exit code is 0 when all is healthy, 1 for a warning and 2 when something is
critical. These two are also the codes of a command that failed and of a wrong call:
then nothing is printed on stdout, and stderr says why.`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	cmd.AddCommand(newHealthReports(d), newHealthThresholds(d), newHealthSet(d))
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(args) == 1 {
			h, err := client.Health.Queue(ctx, args[0])
			if err != nil {
				return err
			}
			return answerHealth(d, h, h.Status, []penstock.Health{h}, asJSON)
		}
		all, err := client.Health.All(ctx)
		if err != nil {
			return err
		}
		return answerHealth(d, all, all.Status, append([]penstock.Health{all.Database}, all.Queues...), asJSON)
	})
}

func answerHealth(d *deps, document any, status penstock.HealthStatus, list []penstock.Health, asJSON bool) error {
	var err error
	if asJSON {
		err = terminal.WriteJSON(d.Stdout, document)
	} else {
		err = writeHealth(d.Stdout, d, list)
	}
	if err == nil && status != penstock.StatusHealthy {
		err = unhealthy{status}
	}
	return err
}

func writeHealth(out io.Writer, d *deps, list []penstock.Health) error {
	overview := terminal.Table{Heads: []string{"QUEUE", "HEALTH", "WAITING", "RUNNING", "DEAD", "ISSUES"}}
	for _, h := range list {
		var codes []string
		for _, i := range h.Issues {
			codes = append(codes, i.Code)
		}
		name, waiting, running, dead := terminal.Dimmed("(database)"), terminal.Text(""), terminal.Text(""), terminal.Text("")
		if m := h.Metrics; m != nil {
			name, waiting, running, dead = terminal.Text(h.Queue), terminal.Grouped(m.Waiting), terminal.Grouped(m.Running), terminal.Grouped(m.Dead)
		}
		overview.Add(name, state(string(h.Status)), waiting, running, dead, terminal.Text(strings.Join(codes, ", ")))
	}
	if err := overview.Write(out, d.Screen); err != nil {
		return err
	}
	for _, h := range list {
		for _, i := range h.Issues {
			where := h.Queue
			if where == "" {
				where = "database"
			}
			lead := len(i.Severity) + 1
			fmt.Fprintf(out, "\n%s %s\n", d.Screen.Paint(stateColour(string(i.Severity)), string(i.Severity)),
				terminal.Hanging(terminal.Plain(where+": "+i.Message), d.Screen.Width, lead))
			if i.Detail != "" {
				fmt.Fprintln(out, d.Screen.Paint(terminal.Faint, terminal.Paragraph(terminal.Plain(i.Detail), d.Screen.Width, 2)))
			}
			if _, err := fmt.Fprintln(out, terminal.Paragraph(terminal.Plain(i.Recommendation), d.Screen.Width, 2)); err != nil {
				return err
			}
		}
	}
	return nil
}

func newHealthReports(d *deps) *cobra.Command {
	var p paging
	cmd := &cobra.Command{
		Use: "reports [QUEUE]", Short: "List the health reports that are kept, the newest first",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return p.begin(cmd, d.Now()) },
	}
	p.bind(cmd)
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		page, err := client.Health.Reports(ctx, penstock.HealthReportQuery{Queue: first(args), Limit: p.limit, Cursor: p.cursor})
		if err != nil {
			return err
		}
		if asJSON {
			return writeItems(d.Stdout, page.Items, page.Next)
		}
		if len(page.Items) == 0 {
			_, err := fmt.Fprintln(d.Stdout, "No report is kept yet: the task health-reports makes them.")
			return err
		}
		list := terminal.Table{Heads: []string{"WHEN", "QUEUE", "HEALTH", "ISSUES"}}
		for _, r := range page.Items {
			name := terminal.Text(r.Queue)
			if r.Queue == "" {
				name = terminal.Dimmed("(database)")
			}
			var messages []string
			for _, i := range r.Issues {
				messages = append(messages, i.Message)
			}
			list.Add(terminal.Dimmed(terminal.Ago(r.At, d.Now())), name, state(string(r.Status)), terminal.Text(strings.Join(messages, "; ")))
		}
		if err := list.Write(d.Stdout, d.Screen); err != nil {
			return err
		}
		return writeNext(d.Stdout, len(page.Items), page.Next)
	})
}

// A threshold's flag, and its usage with the unit.
type threshold struct{ flag, usage string }

var (
	spanThresholds = []threshold{
		{"span", "how far back to look: a duration such as 1h"},
		{"wait-objective", "within which jobs should start: a duration such as 30s"},
		{"running-warning", "one attempt runs this long: a duration such as 10m"},
		{"running-critical", "one attempt runs this long: a duration such as 1h"},
	}
	numberThresholds = []threshold{
		{"least-attempts", "how many attempts within the span it takes to judge by: a count"},
		{"wait-share", "of jobs that should start within the objective: a share from 0 to 1"},
		{"success-rate-warning", "of attempts, below: a share from 0 to 1"},
		{"success-rate-critical", "of attempts, below: a share from 0 to 1"},
		{"load-warning", "arrivals, in multiples of what the live slots can do: a ratio such as 0.9"},
		{"load-critical", "arrivals, in multiples of what the live slots can do: a ratio such as 1.2"},
		{"dead-warning", "jobs that died within an hour: a count"},
		{"dead-critical", "jobs that died within an hour: a count"},
		{"crash-warning", "of attempts whose worker died: a share from 0 to 1"},
		{"crash-critical", "of attempts whose worker died: a share from 0 to 1"},
		{"slowdown-warning", "P95 of processing, in multiples of its last week's: a ratio such as 2"},
		{"slowdown-critical", "P95 of processing, in multiples of its last week's: a ratio such as 5"},
		{"spike-warning", "jobs that died of one error within the span: a count"},
		{"spike-critical", "jobs that died of one error within the span: a count"},
	}
)

func newHealthThresholds(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "thresholds QUEUE", Short: "Show a queue's health thresholds ('*': every queue)",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runHealthThresholds(ctx, d, client, args[0], asJSON)
	})
}

func runHealthThresholds(ctx context.Context, d *deps, client *penstock.Client, queue string, asJSON bool) error {
	t, err := client.Health.Thresholds(ctx, queue)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(d.Stdout, t)
	}
	both := func(how string, warning, critical string) terminal.Cell {
		return terminal.Text(fmt.Sprintf("%s%s, critical %s", how, warning, critical))
	}
	var f terminal.Facts
	f.Add("queue", terminal.Text(t.Queue))
	f.Add("looks at", terminal.Text(fmt.Sprintf("%s, if it has at least %s", terminal.Last(time.Duration(t.Span)), terminal.Plural(t.LeastAttempts, "attempt"))))
	f.Add("wait objective", terminal.Text(fmt.Sprintf("%s start within %s", percent(t.WaitShare), terminal.Exact(time.Duration(t.WaitObjective)))))
	f.Add("success rate", both("below ", percent(t.SuccessRateWarning), percent(t.SuccessRateCritical)))
	f.Add("load", both("", ratio(t.LoadWarning), ratio(t.LoadCritical)+" times what the live slots can do"))
	f.Add("dead in an hour", both("", terminal.Plural(t.DeadWarning, "job"), terminal.Plural(t.DeadCritical, "job")))
	f.Add("one attempt runs", both("", terminal.Exact(time.Duration(t.RunningWarning)), terminal.Exact(time.Duration(t.RunningCritical))))
	f.Add("crashes", both("", percent(t.CrashWarning), percent(t.CrashCritical)+" of attempts"))
	f.Add("P95", both("", ratio(t.SlowdownWarning), ratio(t.SlowdownCritical)+" times its last week's"))
	f.Add("dead of one error", both("", terminal.Plural(t.SpikeWarning, "job"), terminal.Plural(t.SpikeCritical, "job")))
	return f.Write(d.Stdout, d.Screen, "")
}

func newHealthSet(d *deps) *cobra.Command {
	spans, numbers := map[string]*wait{}, map[string]*float64{}
	var reset []string
	change := map[string]*float64{}
	cmd := &cobra.Command{
		Use: "set QUEUE", Short: "Change a queue's health thresholds, and show them",
		Long: `Change a queue's health thresholds, and show them. Thresholds that are not given stay.
QUEUE '*' has the thresholds of queues without their own.`,
		Example: `  penstock health set process-tts --wait-objective 2s --wait-share 0.95
  penstock health set '*' --dead-warning 50 --dead-critical 500
  penstock health set process-tts --reset wait-objective`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	var known []string
	for _, t := range spanThresholds {
		known, spans[t.flag] = append(known, t.flag), new(wait)
		cmd.Flags().Var(spans[t.flag], t.flag, t.usage)
	}
	for _, t := range numberThresholds {
		known, numbers[t.flag] = append(known, t.flag), cmd.Flags().Float64(t.flag, 0, t.usage)
	}
	slices.Sort(known)
	cmd.Flags().StringSliceVar(&reset, "reset", nil, "leave a threshold to that of every queue, by its flag's name; may be repeated")
	completeFlag(cmd, "reset", fixed(known...))
	cmd.PreRunE = func(*cobra.Command, []string) error {
		argument := func(flag string) string { return strings.ReplaceAll(flag, "-", "_") }
		for name, w := range spans {
			if cmd.Flags().Changed(name) {
				ms := float64(time.Duration(*w)) / float64(time.Millisecond)
				change[argument(name)] = &ms
			}
		}
		for name, n := range numbers {
			if cmd.Flags().Changed(name) {
				change[argument(name)] = n
			}
		}
		for _, name := range reset {
			if !slices.Contains(known, name) {
				return command.Usagef("health set: --reset takes %s, got %q", strings.Join(known, ", "), name)
			}
			if _, set := change[argument(name)]; set {
				return command.Usagef("health set: --%s is both set and reset; leave one out", name)
			}
			change[argument(name)] = nil
		}
		if len(change) == 0 {
			return command.Usagef("health set: say what to set, such as --wait-objective 2s, or what to --reset")
		}
		return nil
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if err := client.Health.SetThresholds(ctx, args[0], change); err != nil {
			return err
		}
		return runHealthThresholds(ctx, d, client, args[0], asJSON)
	})
}

func ratio(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
