package main

import (
	"context"
	"fmt"
	"io"
	"slices"
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
		Short: "Tell what is wrong with the queues and the database, and what to do about it",
		Long: `Tell what is wrong with the queues and the database, and what to do about it.

The exit code is 0 when all is healthy, 1 for a warning and 2 when something is
critical. These two are also the codes of a command that failed and of a wrong call:
then nothing is printed on stdout, and stderr says why.`,
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
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
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return p.begin(cmd, d.Now()) },
	}
	p.bind(cmd)
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		page, err := client.Health.Reports(ctx, penstock.HealthReportQuery{Queue: first(args), Limit: p.limit, Cursor: p.cursor})
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				Reports []penstock.HealthReport `json:"reports"`
				Next    string                  `json:"next,omitempty"`
			}{page.Items, page.Next})
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

// thresholdFlags are the thresholds by their flags: durations, and the others.
var (
	spanThresholds   = []string{"span", "wait-objective", "running-warning", "running-critical"}
	numberThresholds = []string{
		"least-attempts", "wait-share", "success-rate-warning", "success-rate-critical", "load-warning",
		"load-critical", "dead-warning", "dead-critical", "crash-warning", "crash-critical", "slowdown-warning",
		"slowdown-critical", "spike-warning", "spike-critical",
	}
)

func newHealthThresholds(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "thresholds QUEUE", Short: "Show what a queue's health is held against ('*': every queue)",
		Args: queueArgs(1, 1), ValidArgsFunction: inOrder(d.queueNames),
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
	both := func(warning, critical any) terminal.Cell {
		return terminal.Text(fmt.Sprintf("%v, critical %v", warning, critical))
	}
	var f terminal.Facts
	f.Add("queue", terminal.Text(t.Queue))
	f.Add("looks at", terminal.Text(fmt.Sprintf("%s, if it has at least %s", terminal.Last(time.Duration(t.Span)), terminal.Plural(t.LeastAttempts, "attempt"))))
	f.Add("wait objective", terminal.Text(fmt.Sprintf("%s start within %s", percent(t.WaitShare), terminal.Exact(time.Duration(t.WaitObjective)))))
	f.Add("success rate below", both(percent(t.SuccessRateWarning), percent(t.SuccessRateCritical)))
	f.Add("load", both(t.LoadWarning, t.LoadCritical))
	f.Add("dead in an hour", both(t.DeadWarning, t.DeadCritical))
	f.Add("running for", both(terminal.Exact(time.Duration(t.RunningWarning)), terminal.Exact(time.Duration(t.RunningCritical))))
	f.Add("crashes", both(percent(t.CrashWarning), percent(t.CrashCritical)))
	f.Add("P95 beside its week", both(t.SlowdownWarning, t.SlowdownCritical))
	f.Add("dead of one error", both(t.SpikeWarning, t.SpikeCritical))
	return f.Write(d.Stdout, d.Screen, "")
}

func newHealthSet(d *deps) *cobra.Command {
	spans, numbers := map[string]*wait{}, map[string]*float64{}
	var reset []string
	change := map[string]*float64{}
	cmd := &cobra.Command{
		Use: "set QUEUE", Short: "Change what a queue's health is held against, and show it",
		Long: `Change what a queue's health is held against, and show it. What is not given stays.
QUEUE '*' is what every queue falls back on.`,
		Example: `  penstock health set process-tts --wait-objective 2s --wait-share 0.95
  penstock health set '*' --dead-warning 50 --dead-critical 500
  penstock health set process-tts --reset wait-objective`,
		Args: queueArgs(1, 1), ValidArgsFunction: inOrder(d.queueNames),
	}
	for _, name := range spanThresholds {
		spans[name] = new(wait)
		cmd.Flags().Var(spans[name], name, "a duration such as 30s")
	}
	for _, name := range numberThresholds {
		numbers[name] = cmd.Flags().Float64(name, 0, "a number")
	}
	cmd.Flags().StringSliceVar(&reset, "reset", nil, "leave a threshold to that of every queue, by its flag's name; may be repeated")
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
		known := append(slices.Clone(spanThresholds), numberThresholds...)
		for _, name := range reset {
			if !slices.Contains(known, name) {
				return command.Usagef("health set: --reset takes %s, got %q", strings.Join(slices.Sorted(slices.Values(known)), ", "), name)
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
