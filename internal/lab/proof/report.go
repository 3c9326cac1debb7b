package proof

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is a run and its result.
type Report struct {
	Verdict

	Seed         uint64
	Duration     time.Duration
	Lease        time.Duration
	Workers      int
	Postgres     string
	Mutants      []string
	Nemeses      []string
	Strikes      map[string]int // how often each nemesis broke something
	Missed       map[string]int // how often it found nothing to break, or failed
	Why          map[string]string
	Down         time.Duration // of Postgres
	Failpoint    int
	Crashes      int // of processes, caused by failpoints
	Environments []Environment
	Skipped      map[string]string // faults that are not possible here, and why
	Histories    string            // the directory that holds them
}

func newReport(opts *Options, chosen []schedule) *Report {
	r := &Report{Seed: opts.Seed, Duration: opts.Duration, Lease: opts.Lease, Workers: opts.Workers, Mutants: opts.Mutants, Failpoint: opts.Failpoint, Skipped: map[string]string{
		"the binary of the release before": "there is no release yet; during the fault 'migration' this build is the previous release",
	}}
	for _, p := range chosen {
		r.Nemeses = append(r.Nemeses, p.Name())
	}
	return r
}

func (r *Report) count(a *testbed) {
	r.Missed, r.Why = a.misses, a.missReasons
	for _, f := range a.faultLog() {
		if f.Nemesis == "failpoint crash" {
			r.Crashes++
		}
		if f.Down {
			r.Down += f.To.Sub(f.From)
		}
	}
}

// WriteMarkdown writes the report.
func (r *Report) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	verdict := "no promise was broken"
	n := r.Broken()
	for _, e := range r.Environments {
		if e.Report != nil {
			n += e.Report.Broken()
		}
	}
	if n > 0 {
		verdict = fmt.Sprintf("**%d violations**", n)
	}
	fmt.Fprintf(&b, "# Proof: %s\n\n", verdict)
	if r.Postgres == "" { // only environments were asked for
		fmt.Fprintf(&b, "Seed %d.\n", r.Seed)
		r.writeEnvironments(&b)
		_, err := io.WriteString(out, b.String())
		return err
	}
	fmt.Fprintf(&b, "Seed %d, %s of faults, lease %s, %d workers, PostgreSQL %s, %d cores, %s.\n", r.Seed, r.Duration, r.Lease, r.Workers,
		r.Postgres, runtime.NumCPU(), runtime.Version())
	if len(r.Mutants) > 0 {
		fmt.Fprintf(&b, "\nGuards removed: %s.\n", strings.Join(r.Mutants, ", "))
	}
	r.writeViolations(&b)
	fmt.Fprintf(&b, "\n## What was done\n\n| jobs | |\n|---|---:|\n")
	for _, row := range []struct {
		what string
		n    int
	}{
		{"jobs committed", r.Jobs},
		{"attempts", r.Attempts},
		{"completed", r.Completed},
		{"effects of handlers, each in its completion's transaction", r.Effects},
		{"attempts lost with their worker", r.Lost},
		{"attempts ended by their deadline", r.Overdue},
		{"enqueues without an answer", r.Unknown},
		{"of those, jobs that exist", r.UnknownKept},
		{"enqueues refused or rolled back", r.Refused},
		{"redriven from the dead letter queue", r.Redriven},
		{"purged from it", r.Purged},
		{"in it at the end", r.Dead},
	} {
		fmt.Fprintf(&b, "| %s | %d |\n", row.what, row.n)
	}
	fmt.Fprintf(&b, "\n| fault | strikes | without effect |\n|---|---:|---:|\n")
	for _, name := range r.Nemeses {
		why := ""
		if r.Strikes[name] == 0 {
			why = " " + r.Why[name]
		}
		fmt.Fprintf(&b, "| %s | %d | %d%s |\n", name, r.Strikes[name], r.Missed[name], why)
	}
	if r.Failpoint > 0 {
		fmt.Fprintf(&b, "| failpoints | one in %d calls, %d crashes | |\n", r.Failpoint, r.Crashes)
	} else {
		r.Skipped["failpoints"] = "this build has none, or they were not requested"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(&b, "| %s | skipped: %s | |\n", name, r.Skipped[name])
	}
	fmt.Fprintf(&b, "\nPostgres was down for %.1f s.\n", r.Down.Seconds())
	limits := limitsFor(r.Lease)
	fmt.Fprintf(&b, "\n## Recovery\n\n| | times | p50 | p95 | p99 | max | promised |\n|---|---:|---:|---:|---:|---:|---:|\n")
	writeTimes(&b, "a dead worker's job returns, while Postgres is up", r.Rescues, limits.Rescue)
	writeTimes(&b, "first claim after Postgres accepts connections", r.FirstClaims, limits.FirstClaim)
	r.writeEnvironments(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *Report) writeEnvironments(b *strings.Builder) {
	if len(r.Environments) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Environments\n\n| in a run of its own | strikes | jobs | attempts | violations | |\n|---|---:|---:|---:|---:|---|\n")
	for _, e := range r.Environments {
		if e.Report == nil {
			fmt.Fprintf(b, "| %s | | | | | skipped: %s |\n", e.Name, e.Skipped)
			continue
		}
		note := ""
		if e.MayLose {
			note = fmt.Sprintf("%d acknowledged jobs were lost; asynchronous replication allows that", e.Lost)
		}
		fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %s |\n", e.Name, e.Struck, e.Report.Jobs, e.Report.Attempts, e.Report.Broken(), note)
	}
	for _, e := range r.Environments {
		if e.Report != nil && e.Report.Broken() > 0 {
			fmt.Fprintf(b, "\n### %s\n", e.Name)
			e.Report.writeViolations(b)
		}
	}
}

func writeTimes(b *strings.Builder, what string, times []time.Duration, promised time.Duration) {
	if len(times) == 0 {
		fmt.Fprintf(b, "| %s | 0 | | | | | %s |\n", what, promised)
		return
	}
	at := func(share float64) string {
		return fmt.Sprintf("%.2f s", times[min(int(share*float64(len(times))), len(times)-1)].Seconds())
	}
	fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |\n", what, len(times), at(0.5), at(0.95), at(0.99), at(1), promised)
}

func (r *Report) writeViolations(b *strings.Builder) {
	if r.Broken() == 0 {
		return
	}
	b.WriteString("\n## Violations\n\n| kind | times |\n|---|---:|\n")
	for _, kind := range slices.Sorted(maps.Keys(r.Violations)) {
		fmt.Fprintf(b, "| %s | %d |\n", kind, r.Violations[kind])
	}
	for _, v := range r.Examples {
		fmt.Fprintf(b, "\n**%s, %s**: %s.\n", v.Promise, v.Kind, v.Text)
		if len(v.Timeline) > 0 {
			fmt.Fprintf(b, "\n    %s\n", strings.Join(v.Timeline, "\n    "))
		}
	}
	if r.Histories != "" {
		fmt.Fprintf(b, "\nThe histories are in %s.\n", r.Histories)
	}
}
