package bench

import (
	"context"
	"fmt"
	"time"
)

var ceilingScenario = Scenario{
	Name:  "ceiling",
	Short: "The same SQL functions in a loop, without the library",
	Long: `Calls the SQL functions that the library calls, from loops without handlers or decoding
and with prepared arguments. It enqueues 1,000 per call on one and on four connections,
and in calls as small as those of group commit for each number of callers (two calls at
a time, each with half of them). It claims and finishes 1,000 at a time on two
connections. Finally it does both at once. Drain, enqueue and steady measure their own
ceiling in the same run and show it in the column OF CEILING.`,
	Usual: Load{Jobs: 200_000, PayloadBytes: 100, Callers: []int{32, 256}, Duration: 10 * time.Second},
	run:   (*bench).ceiling,
}

func (b *bench) ceiling(ctx context.Context) error {
	add := func(name string, s *Speed, err error) error {
		b.report.Rows = append(b.report.Rows, Row{Name: name, Speed: s})
		return err
	}
	drained, err := b.drainVerbs(ctx, "ceiling-drain", b.load.Jobs)
	if err := add("claim and finish", drained, err); err != nil {
		return err
	}
	b.report.setHeadline(b.report.Rows[0])
	for _, connections := range bulkConnections {
		s, err := b.bulkVerb(ctx, connections, b.load.Jobs)
		if err := add("enqueue, "+connectionsText(connections), s, err); err != nil {
			return err
		}
	}
	for _, callers := range b.load.Callers {
		s, err := b.callersVerb(ctx, callers, b.load.Jobs)
		if err := add(fmt.Sprintf("enqueue, two calls of %d", half(callers)), s, err); err != nil {
			return err
		}
	}
	steady, err := b.steadyVerbs(ctx, "ceiling-steady", b.load.Duration)
	if err := add("enqueue, claim and finish at once", steady, err); err != nil {
		return err
	}
	b.report.addFinding("Each job of the first row and the last has exactly one completed attempt.")
	return nil
}

// bulkConnections are the numbers of connections that enqueue in bulk.
var bulkConnections = []int{1, 4}

func connectionsText(n int) string {
	if n == 1 {
		return "one connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// bulkVerb is the ceiling for enqueueing in bulk.
func (b *bench) bulkVerb(ctx context.Context, connections, jobs int) (*Speed, error) {
	return b.enqueueVerb(ctx, "ceiling-bulk", jobs, connections, bulkBatch)
}

// callersVerb is the ceiling for callers that each wait for the commit of one job: two
// calls at a time, each with the jobs of half the callers.
func (b *bench) callersVerb(ctx context.Context, callers, jobs int) (*Speed, error) {
	return b.enqueueVerb(ctx, "ceiling-callers", jobs, 2, half(callers))
}

func half(n int) int { return max(1, n/2) }

// betweenCeilings measures ours between two measurements of its ceiling.
func betweenCeilings(ceiling, ours func() (*Speed, error)) (row Row, err error) {
	before, err := ceiling()
	if err != nil {
		return row, err
	}
	if row.Speed, err = ours(); err != nil {
		return row, err
	}
	after, err := ceiling()
	if err != nil {
		return row, err
	}
	row.Ceiling = mean(before.JobsPerSecond, after.JobsPerSecond)
	row.OfCeiling = row.JobsPerSecond / row.Ceiling
	return row, nil
}
