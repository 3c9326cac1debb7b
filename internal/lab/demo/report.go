package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
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
	fmt.Fprintf(d.out, "%s in %s (%s jobs/s): %s done, %s dead, %s.\n",
		terminal.Plural(ended, "job"), terminal.Duration(took), terminal.Thousands(perSecond(ended, took)),
		terminal.Thousands(p.done.Load()), terminal.Thousands(p.dead.Load()), retries(p.retries.Load()))
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
	return terminal.Thousands(n) + " retries"
}

func (d *demo) reportPackages(ctx context.Context) error {
	totals, err := largestPackages(ctx, d.pool, packagesShown)
	if err != nil {
		return err
	}
	list := terminal.Table{Indent: "  ", Heads: []string{"package", "files", "lines", "funcs", "types", "vars", "consts", "imports"}}
	for _, t := range totals {
		row := []terminal.Cell{{Text: t.Dir, Tail: true}}
		for _, n := range []int64{t.Files, t.Lines, t.Funcs, t.Types, t.Vars, t.Consts, t.Imports} {
			row = append(row, terminal.Grouped(n))
		}
		list.Add(row...)
	}
	fmt.Fprint(d.out, "\nThe largest packages\n")
	return list.Write(d.out, d.screen())
}

// reportDead groups the dead letter queue by error. It includes dead jobs of earlier
// runs: a dead job leaves only by a redrive or a purge (P11).
func (d *demo) reportDead(ctx context.Context, dead, earlier int64) error {
	groups, err := d.client.DLQ.Groups(ctx, queue, groupsCounted)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe dead letter queue: %s in %s", terminal.Plural(dead, "job"), terminal.Plural(int64(len(groups)), "error group"))
	if earlier > 0 {
		fmt.Fprintf(d.out, ", %s of earlier runs", terminal.Thousands(earlier))
	}
	fmt.Fprintln(d.out)
	if len(groups) == 0 {
		return nil
	}
	list := terminal.Table{Indent: "  ", Heads: []string{"jobs", "class", "reason", "an example"}}
	for _, g := range groups[:min(len(groups), groupsShown)] {
		list.Add(terminal.Grouped(g.Jobs), terminal.Key(g.Class), terminal.Key(g.Reason), terminal.Text(g.Example))
	}
	if err := list.Write(d.out, d.screen()); err != nil {
		return err
	}
	if more := len(groups) - len(list.Rows); more > 0 {
		fmt.Fprintf(d.out, "  and %s more\n", terminal.Plural(int64(more), "group"))
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
			"psql " + terminal.ShellQuote(d.opts.DatabaseURL) + ` -c 'SELECT name, state, count(*) FROM penstock.job_states GROUP BY 1, 2'`,
		})
	}
	fmt.Fprint(d.out, "\nThe server stays up. What to type next, in another terminal:\n")
	for _, line := range next {
		fmt.Fprintf(d.out, "  # %s\n  %s\n", line[0], line[1])
	}
	return nil
}

// screen is how tables are written to out.
func (d *demo) screen() terminal.Screen {
	if d.opts.Width == nil {
		return terminal.Screen{}
	}
	return terminal.Screen{Terminal: true, Width: d.opts.Width()}
}
