package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Goal is one performance goal on two cores shared by client and server: the goal, the
// measured figure, and the verdict.
type Goal struct {
	What     string `json:"what"`
	Goal     string `json:"goal"`
	Measured string `json:"measured"`
	Verdict  string `json:"verdict"` // met, met by ratio, missed
}

// The verdicts. On a slow or busy machine a goal is also met by reaching most of what
// the same SQL functions do there without the library.
const (
	Met        = "met"
	MetByRatio = "met by ratio"
	Missed     = "missed"
	leastShare = 0.6
)

// goalStep is one scenario with goals, and its loads.
type goalStep struct {
	scenario    *Scenario
	quick, full Load // zero fields take the scenario's usual load
	judge       func(*Report) []Goal
}

var goalSteps = []goalStep{
	{&drainScenario, Load{}, Load{}, func(r *Report) []Goal {
		row := r.Rows[0]
		return []Goal{
			speedGoal("drain waiting jobs, one process", row, 100_000),
			atMost("WAL of a job, enqueue to completion", row.WALBytes, 1000, "bytes"),
		}
	}},
	{&enqueueScenario, Load{Jobs: 100_000}, Load{Jobs: 400_000}, func(r *Report) []Goal {
		return []Goal{
			speedGoal("enqueue in bulk, one connection", r.Rows[0], 120_000),
			speedGoal("enqueue in bulk, four connections", r.Rows[1], 160_000),
			speedGoal("enqueue one by one, 32 callers", r.Rows[2], 40_000),
			speedGoal("enqueue one by one, 256 callers", r.Rows[3], 100_000),
		}
	}},
	{&steadyScenario, Load{Duration: 10 * time.Second}, Load{Duration: time.Minute}, func(r *Report) []Goal {
		goal := speedGoal("enqueue and work at once", r.Rows[1], 60_000)
		for _, finding := range r.Findings {
			if strings.Contains(finding, "grew by") {
				goal.Measured, goal.Verdict = goal.Measured+"; the backlog grew", Missed
			}
		}
		return []Goal{goal}
	}},
	{&latencyScenario, Load{Duration: 3 * time.Second}, Load{}, func(r *Report) (goals []Goal) {
		for _, row := range r.Rows {
			if strings.HasPrefix(row.Name, "scheduled") {
				goals = append(goals, latencyGoal("idle pickup, "+row.Name, row, 20, 20))
			} else {
				goals = append(goals, latencyGoal("idle pickup, "+row.Name, row, 2, 5))
			}
		}
		return goals
	}},
	{&backlogScenario, Load{Jobs: 300_000}, Load{Jobs: 5_000_000}, func(r *Report) (goals []Goal) {
		for _, row := range r.amounts() {
			goals = append(goals, atLeast("claims "+row.Name, row.Amount.Amount, 90, "%"))
		}
		return goals
	}},
	{&pinnedScenario, Load{Duration: 6 * time.Second}, Load{Duration: 10 * time.Minute}, func(r *Report) []Goal {
		return []Goal{atLeast("throughput "+r.amounts()[0].Name, r.amounts()[0].Amount.Amount, 90, "%")}
	}},
	{&notifyScenario, Load{Duration: 8 * time.Second}, Load{Duration: 24 * time.Second}, func(r *Report) []Goal {
		return []Goal{atMost(r.amounts()[0].Name, r.amounts()[0].Amount.Amount, 15, "%")}
	}},
	{&workersScenario, Load{}, Load{Jobs: 200_000}, func(r *Report) []Goal {
		return []Goal{
			atLeast(r.amounts()[0].Name, r.amounts()[0].Amount.Amount, 100, "%"),
			atMost(r.amounts()[1].Name, r.amounts()[1].Amount.Amount, 20, "%"),
		}
	}},
	{&memoryScenario, Load{}, Load{}, func(r *Report) []Goal {
		return []Goal{atMost("memory of "+r.Rows[0].Name, r.Rows[0].Amount.Amount, 150, "MiB")}
	}},
	{&idleScenario, Load{Duration: 5 * time.Second}, Load{}, func(r *Report) []Goal {
		return []Goal{atMost("processor time of "+r.Rows[0].Name, r.Rows[0].Amount.Amount, 1, "% of a core")}
	}},
}

// amounts returns the rows that are neither rates nor latencies.
func (r *Report) amounts() (rows []Row) {
	for _, row := range r.Rows {
		if row.Amount != nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// Goals runs every scenario that has a goal, quickly (about four minutes) or in full
// (half an hour). It ignores opts.Load: each scenario has its own.
func Goals(ctx context.Context, opts Options, full bool) (goals []Goal, setup Setup, err error) {
	for _, s := range goalSteps {
		load := s.quick
		if full {
			load = s.full
		}
		run := opts
		run.Load = load.withDefaults(s.scenario.Usual)
		report, err := s.scenario.Run(ctx, run)
		if err != nil {
			return nil, setup, err
		}
		goals = append(goals, s.judge(report)...)
		setup = report.Setup
	}
	setup.Concurrency = 0 // each scenario had its own
	return goals, setup, nil
}

// withDefaults returns usual with the non-zero fields of l.
func (l Load) withDefaults(usual Load) Load {
	if l.Jobs != 0 {
		usual.Jobs = l.Jobs
	}
	if l.Duration != 0 {
		usual.Duration = l.Duration
	}
	return usual
}

func speedGoal(what string, row Row, least float64) Goal {
	g := Goal{What: what, Goal: fmt.Sprintf("≥ %.0f,000/s", least/1000), Verdict: Met}
	g.Measured = fmt.Sprintf("%.1f thousand/s, %.0f%% of the ceiling's %.1f", row.JobsPerSecond/1000, 100*row.OfCeiling, row.Ceiling/1000)
	switch {
	case row.JobsPerSecond >= least:
	case row.OfCeiling >= leastShare:
		g.Verdict = MetByRatio
	default:
		g.Verdict = Missed
	}
	return g
}

func latencyGoal(what string, row Row, p50, p99 float64) Goal {
	g := Goal{
		What: what, Goal: fmt.Sprintf("p50 ≤ %.0f ms, p99 ≤ %.0f ms", p50, p99), Verdict: Met,
		Measured: fmt.Sprintf("%.1f ms, %.1f ms", row.P50, row.P99),
	}
	if row.P50 > p50 || row.P99 > p99 {
		g.Verdict = Missed
	}
	return g
}

func atLeast(what string, measured, least float64, unit string) Goal {
	return bound(what, "≥", measured, least, unit, measured >= least)
}

func atMost(what string, measured, most float64, unit string) Goal {
	return bound(what, "≤", measured, most, unit, measured <= most)
}

func bound(what, sign string, measured, limit float64, unit string, met bool) Goal {
	g := Goal{What: what, Goal: fmt.Sprintf("%s %.0f %s", sign, limit, unit), Measured: fmt.Sprintf("%.1f %s", measured, unit), Verdict: Missed}
	if met {
		g.Verdict = Met
	}
	return g
}
