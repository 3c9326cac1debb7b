package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/bench"
)

func newBench(d *deps) *cobra.Command {
	cmd := group("bench", "Measure what this machine's Penstock does")
	cmd.Long = `Measure what this machine's Penstock does: through the public Go API, with the settings
that every user gets, and with plain SQL on the same server measured beside it.

Each run has a database of its own, on the server of DATABASE_URL or else on a fresh
private one with full durability, and drops it at the end. It takes all that the
machine has.`
	for i := range bench.Scenarios {
		cmd.AddCommand(newScenario(d, &bench.Scenarios[i]))
	}
	cmd.AddCommand(newGoals(d), newCompare(d))
	return cmd
}

type benchFlags struct {
	load    bench.Load
	remote  bool
	asJSON  bool
	profile string
}

// newScenario makes a command with the flags that the scenario has a use for.
func newScenario(d *deps, s *bench.Scenario) *cobra.Command {
	f := benchFlags{load: s.Usual}
	cmd := &cobra.Command{Use: s.Name, Short: s.Short, Long: s.Long, Args: cobra.NoArgs}
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
		cfg, err := d.load(cmd)
		if err != nil {
			return err
		}
		return runBench(cmd.Context(), d, cfg, s, f)
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
		return usagef("bench: --jobs must be 1 to 100000000, got %d", l.Jobs)
	case s.Usual.Concurrency != 0 && (l.Concurrency < 1 || l.Concurrency > 10_000):
		return usagef("bench: --concurrency must be 1 to 10000, got %d", l.Concurrency)
	case s.Usual.Duration != 0 && (l.Duration < time.Second || l.Duration > 24*time.Hour):
		return usagef("bench: --duration must be 1s to 24h, got %s", l.Duration)
	case l.PayloadBytes < bench.MinPayload || l.PayloadBytes > bench.MaxPayload:
		return usagef("bench: --payload-bytes must be %d to %d, got %d", bench.MinPayload, bench.MaxPayload, l.PayloadBytes)
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
		return usagef("bench: --%s was given without a value", flag)
	}
	for i, n := range counts {
		if n < least || n > most {
			return usagef("bench: --%s must be %d to %d, got %d", flag, least, most, n)
		}
		if slices.Contains(counts[:i], n) {
			return usagef("bench: --%s has %d twice", flag, n)
		}
	}
	return nil
}

func runBench(ctx context.Context, d *deps, cfg config.Config, s *bench.Scenario, f benchFlags) error {
	opts := bench.Options{
		URL: cfg.DatabaseURL.Reveal(), Remote: f.remote, Version: buildVersion(), Load: f.load, Log: quietLogger(d, cfg),
	}
	if d.errScreen.terminal {
		opts.Progress = (&bar{out: d.stderr, screen: d.errScreen}).show
		defer fmt.Fprint(d.stderr, clearLine)
	}
	report, err := profiled(f.profile, func() (*bench.Report, error) { return s.Run(ctx, opts) })
	if err != nil {
		return err
	}
	if f.asJSON {
		return writeJSON(d.stdout, report)
	}
	if d.errScreen.terminal {
		fmt.Fprint(d.stderr, clearLine)
	}
	return writeReport(d.stdout, d.screen, report)
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

const clearLine = "\r\x1b[K"

// bar is the line on a terminal that shows how far a run is.
type bar struct {
	out    io.Writer
	screen screen
}

const barWidth = 24

func (b *bar) show(p bench.Progress) {
	line := p.Stage
	if p.Total > 0 {
		full := int(min(p.Done, p.Total) * barWidth / p.Total)
		line = fmt.Sprintf("%s%s %3d%%  %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
			min(p.Done, p.Total)*100/p.Total, p.Stage)
	}
	if b.screen.width > 0 {
		line = clip(line, b.screen.width-1) // a terminal wraps when the last cell is written
	}
	fmt.Fprint(b.out, "\r"+line+"\x1b[K")
}

// writeReport writes the rows, then what they were measured with.
func writeReport(out io.Writer, s screen, r *bench.Report) error {
	speeds := table{heads: []string{"WHAT", "JOBS", "SECONDS", "JOBS/S", "OF CEILING", "OF PLAIN SQL"}}
	amounts := table{heads: []string{"WHAT", "MEASURED"}}
	latencies := table{heads: []string{"PICKUP", "JOBS", "P50 MS", "P95 MS", "P99 MS", "MAX MS"}}
	for _, row := range r.Rows {
		if row.Speed != nil {
			speeds.add(text(row.Name), grouped(row.Jobs), decimal(row.Seconds, 2), grouped(int64(row.JobsPerSecond)),
				ceilingCell(row), text(fmt.Sprintf("%.2f × %s/s", row.OfLimit, row.Against)))
		}
		if row.Amount != nil {
			amounts.add(text(row.Name), cell{text: decimal(row.Amount.Amount, 1).text + " " + row.Unit, right: true})
		}
		if row.Latency != nil {
			latencies.add(text(row.Name), grouped(row.Samples), decimal(row.P50, 2), decimal(row.P95, 2),
				decimal(row.P99, 2), decimal(row.Max, 2))
		}
	}
	printed := false
	for _, t := range []table{speeds, latencies, amounts} {
		if len(t.rows) == 0 {
			continue
		}
		if printed {
			fmt.Fprintln(out)
		}
		printed = true
		if err := t.write(out, s); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s\n\n", strings.Join(r.Findings, "\n"))
	var about facts
	about.add("plain SQL before", text(limitText(r.Limit.Before)))
	about.add("plain SQL after", text(limitText(r.Limit.After)))
	aboutSetup(&about, r.Setup)
	return about.write(out, s, "")
}

// aboutSetup says what the figures were measured with.
func aboutSetup(about *facts, s bench.Setup) {
	about.add("PostgreSQL", text(fmt.Sprintf("%s, %s", s.Postgres, s.Server)))
	about.add("durability", text(fmt.Sprintf("fsync %s, synchronous_commit %s, full_page_writes %s",
		s.Fsync, s.SynchronousCommit, s.FullPageWrites)))
	about.add("memory", text(fmt.Sprintf("shared_buffers %s, max_wal_size %s", s.SharedBuffers, s.MaxWALSize)))
	about.add("machine", text(fmt.Sprintf("%d cores, %s", s.Cores, s.Go)))
	about.add("penstock", text(s.Penstock))
	about.add("load", text(loadText(s)))
}

// ceilingCell is what a row reached of its ceiling, empty where none was measured.
func ceilingCell(row bench.Row) cell {
	if row.Ceiling == 0 {
		return cell{right: true}
	}
	return cell{text: fmt.Sprintf("%.0f%% of %s", 100*row.OfCeiling, thousands(int64(row.Ceiling))), right: true}
}

func limitText(l bench.Limit) string {
	return fmt.Sprintf("%s rows/s in bulk, %s commits/s (p50 %.2f ms, p99 %.2f ms), one connection",
		thousands(int64(l.RowsPerSecond)), thousands(int64(l.CommitsPerSecond)), l.CommitP50, l.CommitP99)
}

func loadText(s bench.Setup) string {
	words := []string{fmt.Sprintf("%d bytes of data", s.PayloadBytes)}
	if s.Concurrency > 0 {
		words = append(words, fmt.Sprintf("%d handlers", s.Concurrency))
	}
	return strings.Join(words, ", ")
}

func grouped(n int64) cell { return cell{text: thousands(n), right: true} }

func decimal(f float64, digits int) cell {
	return cell{text: strconv.FormatFloat(f, 'f', digits, 64), right: true}
}

// thousands writes n, which is not negative, with a comma between thousands.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
