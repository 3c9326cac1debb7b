package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/penstock/penstock"
)

const (
	packagesShown = 10
	groupsShown   = 10
	groupsCounted = 500 // the most that ErrorGroups returns
)

// report prints the run's result, what was found, what died, and suggested commands.
func (d *demo) report(ctx context.Context, p *progress, took time.Duration) error {
	counts, err := queueCounts(ctx, d.client)
	if err != nil {
		return err
	}
	ended := p.done.Load() + p.dead.Load()
	fmt.Fprintf(d.out, "%s in %.1f s (%s jobs/s): %s done, %s dead, %s.\n",
		plural(ended, "job"), took.Seconds(), number(perSecond(ended, took)),
		number(p.done.Load()), number(p.dead.Load()), retries(p.retries.Load()))
	if err := d.reportPackages(ctx); err != nil {
		return err
	}
	if err := d.reportDead(ctx, counts.Dead, p.before.Dead); err != nil {
		return err
	}
	return d.reportNext(ctx)
}

func retries(n int64) string {
	if n == 1 {
		return "1 retry"
	}
	return number(n) + " retries"
}

func (d *demo) reportPackages(ctx context.Context) error {
	totals, err := largestPackages(ctx, d.pool, packagesShown)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range totals {
		row := []string{t.Dir}
		for _, n := range []int64{t.Files, t.Lines, t.Funcs, t.Types, t.Vars, t.Consts, t.Imports} {
			row = append(row, number(n))
		}
		rows = append(rows, row)
	}
	fmt.Fprint(d.out, "\nThe largest packages\n")
	columns := []column{{title: "package", cut: cutStart}}
	for _, title := range []string{"files", "lines", "funcs", "types", "vars", "consts", "imports"} {
		columns = append(columns, column{title: title, right: true})
	}
	return writeTable(d.out, d.width(), columns, rows)
}

// reportDead groups the dead letter queue by error. It includes dead jobs of earlier
// runs: a dead job leaves only by a redrive or a purge (P11).
func (d *demo) reportDead(ctx context.Context, dead, earlier int64) error {
	groups, err := d.client.DLQ.Groups(ctx, queue, groupsCounted)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe dead letter queue: %s in %s", plural(dead, "job"), plural(int64(len(groups)), "error group"))
	if earlier > 0 {
		fmt.Fprintf(d.out, ", %s of earlier runs", number(earlier))
	}
	fmt.Fprintln(d.out)
	if len(groups) == 0 {
		return nil
	}
	var rows [][]string
	for _, g := range groups[:min(len(groups), groupsShown)] {
		rows = append(rows, []string{number(g.Jobs), g.Class, g.Reason, g.Example})
	}
	columns := []column{{title: "jobs", right: true}, {title: "class"}, {title: "reason"}, {title: "an example", cut: cutEnd}}
	if err := writeTable(d.out, d.width(), columns, rows); err != nil {
		return err
	}
	if more := len(groups) - len(rows); more > 0 {
		fmt.Fprintf(d.out, "  and %s more\n", plural(int64(more), "group"))
	}
	return nil
}

// reportNext prints commands that work as shown.
func (d *demo) reportNext(ctx context.Context) error {
	dead, err := d.client.DLQ.List(ctx, penstock.DeadQuery{Queue: queue, Limit: 1})
	if err != nil {
		return err
	}
	var next [][2]string
	if d.opts.Setup != "" {
		next = append(next, [2]string{"where the commands find this server", d.opts.Setup})
	}
	next = append(next, [2]string{"every dead job, with its error", d.opts.Command + " dlq list " + queue})
	if len(dead.Items) > 0 {
		next = append(next, [2]string{"what became of one job", fmt.Sprintf("%s job get %d", d.opts.Command, dead.Items[0].JobID)})
	}
	next = append(next,
		[2]string{"a job of your own", d.opts.Command + ` enqueue hello greet '{"name":"you"}' --priority high`},
		[2]string{"a worker in shell, until no job is left", d.opts.Command + " work --queue hello --drain -- cat"})
	if d.opts.BaseURL != "" {
		next = append(next, [2]string{"is the server healthy", "curl " + d.opts.BaseURL + "/healthz"})
	}
	if d.opts.DatabaseURL != "" {
		next = append(next, [2]string{
			"everything is SQL",
			"psql " + quote(d.opts.DatabaseURL) + ` -c 'SELECT name, state, count(*) FROM penstock.job_states GROUP BY 1, 2'`,
		})
	}
	fmt.Fprint(d.out, "\nThe server stays up. What to type next, in another terminal:\n")
	for _, line := range next {
		fmt.Fprintf(d.out, "  # %s\n  %s\n", line[0], line[1])
	}
	return nil
}

// quote protects text from a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// width is the width for tables; 0 if out is no terminal.
func (d *demo) width() int {
	if d.opts.Width == nil {
		return 0
	}
	return d.opts.Width()
}
