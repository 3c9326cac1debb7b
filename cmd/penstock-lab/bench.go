package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/bench"
	"github.com/penstock/penstock/internal/terminal"
)

func newBench(p *command.Process) *cobra.Command {
	cmd := command.Group("bench", "Measure what this machine's Penstock does")
	cmd.Long = `Measure what this machine's Penstock does: through the public Go API, with the settings
that every user gets, and with plain SQL on the same server measured beside it.

Each run has a database of its own, on the server of DATABASE_URL or else on a fresh
private one with full durability, and drops it at the end. It takes all that the
machine has.`
	for i := range bench.Scenarios {
		cmd.AddCommand(newScenario(p, &bench.Scenarios[i]))
	}
	cmd.AddCommand(newGoals(p), newCompare(p))
	return cmd
}

type benchFlags struct {
	load    bench.Load
	remote  bool
	asJSON  bool
	profile string
}

// newScenario makes a command with the flags that the scenario has a use for.
func newScenario(p *command.Process, s *bench.Scenario) *cobra.Command {
	f := benchFlags{load: s.Usual}
	cmd := &cobra.Command{Use: s.Name, Short: s.Short, Long: s.Long, Args: command.Arguments}
	flags := cmd.Flags()
	config.Bind(flags, config.DatabaseURL, config.LogFormat)
	if s.Usual.Jobs != 0 {
		flags.IntVar(&f.load.Jobs, "jobs", s.Usual.Jobs, "how many jobs, at least 1")
	}
	if s.Usual.Concurrency != 0 {
		flags.IntVar(&f.load.Concurrency, "concurrency", s.Usual.Concurrency, "handlers at once, 1 to 10000")
	}
	if s.Usual.Callers != nil {
		flags.IntSliceVar(&f.load.Callers, "callers", s.Usual.Callers,
			"goroutines that enqueue one by one, such as 32,256"+zeroMeans(s.Usual.Callers, "in bulk from one"))
	}
	if s.Usual.Duration != 0 {
		flags.DurationVar(&f.load.Duration, "duration", s.Usual.Duration, "how long each phase lasts, at least 1s")
	}
	if s.Usual.Rates != nil {
		flags.IntSliceVar(&f.load.Rates, "rate", s.Usual.Rates,
			"jobs a second to enqueue, such as 2,100"+zeroMeans(s.Usual.Rates, "as many as the machine takes"))
	}
	flags.IntVar(&f.load.PayloadBytes, "payload-bytes", s.Usual.PayloadBytes, "size of each job's data, as JSON")
	flags.BoolVar(&f.remote, "remote", false, "permit a server on another machine; the network counts then")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	flags.StringVar(&f.profile, "cpu-profile", "", "write this process's CPU profile to a file, for go tool pprof")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(s); err != nil {
			return err
		}
		cfg, err := p.Load(cmd)
		if err != nil {
			return err
		}
		return runBench(cmd.Context(), p, cfg, s, f)
	}
	return cmd
}

// zeroMeans ends the usage of a flag that may be zero.
func zeroMeans(usual []int, meaning string) string {
	if slices.Contains(usual, 0) {
		return "; 0: " + meaning
	}
	return ""
}

// check finds what the scenario cannot be put under. Zero callers or rate are fine
// where the scenario's own are zero.
func (f *benchFlags) check(s *bench.Scenario) error {
	l := f.load
	switch {
	case s.Usual.Jobs != 0 && (l.Jobs < 1 || l.Jobs > 100_000_000):
		return command.Usagef("bench: --jobs must be 1 to 100000000, got %d", l.Jobs)
	case s.Usual.Concurrency != 0 && (l.Concurrency < 1 || l.Concurrency > 10_000):
		return command.Usagef("bench: --concurrency must be 1 to 10000, got %d", l.Concurrency)
	case s.Usual.Duration != 0 && (l.Duration < time.Second || l.Duration > 24*time.Hour):
		return command.Usagef("bench: --duration must be 1s to 24h, got %s", l.Duration)
	case l.PayloadBytes < bench.MinPayload || l.PayloadBytes > bench.MaxPayload:
		return command.Usagef("bench: --payload-bytes must be %d to %d, got %d", bench.MinPayload, bench.MaxPayload, l.PayloadBytes)
	}
	if err := checkCounts("callers", l.Callers, s.Usual.Callers, 100_000); err != nil {
		return err
	}
	return checkCounts("rate", l.Rates, s.Usual.Rates, 1_000_000)
}

func checkCounts(flag string, counts, usual []int, most int) error {
	least := 1
	if slices.Contains(usual, 0) {
		least = 0
	}
	if usual != nil && len(counts) == 0 {
		return command.Usagef("bench: --%s was given without a value", flag)
	}
	for i, n := range counts {
		if n < least || n > most {
			return command.Usagef("bench: --%s must be %d to %d, got %d", flag, least, most, n)
		}
		if slices.Contains(counts[:i], n) {
			return command.Usagef("bench: --%s has %d twice", flag, n)
		}
	}
	return nil
}

func runBench(ctx context.Context, p *command.Process, cfg config.Config, s *bench.Scenario, f benchFlags) error {
	opts := bench.Options{
		URL: cfg.DatabaseURL.Reveal(), Remote: f.remote, Version: command.Version(), Load: f.load, Log: quietLogger(p, cfg),
	}
	if p.ErrScreen.Terminal {
		opts.Progress = showBench(&terminal.Bar{Out: p.Stderr, Screen: p.ErrScreen})
		defer fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	report, err := profiled(f.profile, func() (*bench.Report, error) { return s.Run(ctx, opts) })
	if err != nil {
		return err
	}
	if f.asJSON {
		return terminal.WriteJSON(p.Stdout, report)
	}
	if p.ErrScreen.Terminal {
		fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	return writeReport(p.Stdout, p.Screen, report)
}

// profiled runs f and writes to the named file where its time went; without a name it
// only runs f.
func profiled(file string, f func() (*bench.Report, error)) (_ *bench.Report, err error) {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("write the CPU profile: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return nil, fmt.Errorf("write the CPU profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}

// writeReport writes the rows, then what they were measured with.
func writeReport(out io.Writer, s terminal.Screen, r *bench.Report) error {
	speeds := terminal.Table{Heads: []string{"WHAT", "JOBS", "SECONDS", "JOBS/S", "OF CEILING", "OF PLAIN SQL"}}
	amounts := terminal.Table{Heads: []string{"WHAT", "MEASURED"}}
	latencies := terminal.Table{Heads: []string{"PICKUP", "JOBS", "P50 MS", "P95 MS", "P99 MS", "MAX MS"}}
	for _, row := range r.Rows {
		if row.Speed != nil {
			speeds.Add(terminal.Text(row.Name), terminal.Grouped(row.Jobs), terminal.Decimal(row.Seconds, 2), terminal.Grouped(int64(row.JobsPerSecond)),
				ceilingCell(row), terminal.Text(fmt.Sprintf("%.2f × %s/s", row.OfLimit, row.Against)))
		}
		if row.Amount != nil {
			amounts.Add(terminal.Text(row.Name), terminal.Cell{Text: terminal.Decimal(row.Amount.Amount, 1).Text + " " + row.Unit, Right: true})
		}
		if row.Latency != nil {
			latencies.Add(terminal.Text(row.Name), terminal.Grouped(row.Samples), terminal.Decimal(row.P50, 2), terminal.Decimal(row.P95, 2),
				terminal.Decimal(row.P99, 2), terminal.Decimal(row.Max, 2))
		}
	}
	printed := false
	for _, t := range []terminal.Table{speeds, latencies, amounts} {
		if len(t.Rows) == 0 {
			continue
		}
		if printed {
			fmt.Fprintln(out)
		}
		printed = true
		if err := t.Write(out, s); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s\n\n", strings.Join(r.Findings, "\n"))
	var about terminal.Facts
	about.Add("plain SQL before", terminal.Text(limitText(r.Limit.Before)))
	about.Add("plain SQL after", terminal.Text(limitText(r.Limit.After)))
	aboutSetup(&about, r.Setup)
	return about.Write(out, s, "")
}

// aboutSetup says what the figures were measured with.
func aboutSetup(about *terminal.Facts, s bench.Setup) {
	about.Add("PostgreSQL", terminal.Text(fmt.Sprintf("%s, %s", s.Postgres, s.Server)))
	about.Add("durability", terminal.Text(fmt.Sprintf("fsync %s, synchronous_commit %s, full_page_writes %s",
		s.Fsync, s.SynchronousCommit, s.FullPageWrites)))
	about.Add("memory", terminal.Text(fmt.Sprintf("shared_buffers %s, max_wal_size %s", s.SharedBuffers, s.MaxWALSize)))
	about.Add("machine", terminal.Text(fmt.Sprintf("%d cores, %s", s.Cores, s.Go)))
	about.Add("penstock", terminal.Text(s.Penstock))
	about.Add("load", terminal.Text(loadText(s)))
}

// ceilingCell is what a row reached of its ceiling, empty where none was measured.
func ceilingCell(row bench.Row) terminal.Cell {
	if row.Ceiling == 0 {
		return terminal.Cell{Right: true}
	}
	return terminal.Cell{Text: fmt.Sprintf("%.0f%% of %s", 100*row.OfCeiling, terminal.Thousands(int64(row.Ceiling))), Right: true}
}

func limitText(l bench.Limit) string {
	return fmt.Sprintf("%s rows/s in bulk, %s commits/s (p50 %.2f ms, p99 %.2f ms), one connection",
		terminal.Thousands(int64(l.RowsPerSecond)), terminal.Thousands(int64(l.CommitsPerSecond)), l.CommitP50, l.CommitP99)
}

func loadText(s bench.Setup) string {
	words := []string{fmt.Sprintf("%d bytes of data", s.PayloadBytes)}
	if s.Concurrency > 0 {
		words = append(words, fmt.Sprintf("%d handlers", s.Concurrency))
	}
	return strings.Join(words, ", ")
}

// showBench draws a run's progress on the bar.
func showBench(b *terminal.Bar) func(bench.Progress) {
	return func(p bench.Progress) { b.Show(p.Done, p.Total, p.Stage) }
}
