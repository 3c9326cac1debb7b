package bench

import (
	"context"
	"time"
)

var drainScenario = Scenario{
	Name:  "drain",
	Short: "Work off waiting jobs with one worker",
	Long: `Enqueues the jobs in bulk, and then one worker works them off and stops. Its time
runs from its start, before it has a connection, until Postgres has recorded the last
end. The handlers decode their data and do nothing.`,
	Usual: Load{Jobs: 200_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).drain,
}

func (b *bench) drain(ctx context.Context) error {
	const queue = "drain"
	took, err := b.enqueueBulk(ctx, queue, b.load.Jobs, nil)
	if err != nil {
		return err
	}
	drained, err := b.drainQueue(ctx, queue, int64(b.load.Jobs))
	if err != nil {
		return err
	}
	b.report.Rows = []Row{
		{Name: "drain", Speed: speed(int64(b.load.Jobs), drained)},
		{Name: "bulk enqueue before it", Speed: speed(int64(b.load.Jobs), took)},
	}
	b.report.headline(b.report.Rows[0])
	b.report.find("Each of the %d jobs has exactly one completed attempt.", b.load.Jobs)
	return nil
}

// drainQueue works off the jobs that wait and checks that all of them completed.
func (b *bench) drainQueue(ctx context.Context, queue string, jobs int64) (time.Duration, error) {
	start := time.Now()
	c, err := b.start(ctx, work{queue: queue, concurrency: b.load.Concurrency, target: jobs, untilEmpty: true})
	if err != nil {
		return 0, err
	}
	defer c.stop()
	end := b.stage("draining", jobs, c.completed.Load)
	last, err := c.await(ctx)
	end()
	if err != nil {
		return 0, c.abandon(err)
	}
	if err := <-c.over; err != nil { // by itself: nothing is left
		return 0, err
	}
	return last.Sub(start), b.check(ctx, queue, jobs, c.completed.Load())
}
