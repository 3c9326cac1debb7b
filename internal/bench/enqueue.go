package bench

import (
	"context"
	"fmt"
)

var enqueueScenario = Scenario{
	Name:  "enqueue",
	Short: "Enqueue in bulk, and one by one from many callers",
	Long: `Enqueues the jobs with EnqueueMany, 1,000 to a call, from one goroutine; and then as
many again with Enqueue from each number of callers, each of whom gets its id after its
job is committed. Nobody works them.`,
	Usual: Load{Jobs: 200_000, PayloadBytes: 100, Callers: []int{32, 256}},
	run:   (*bench).enqueue,
}

func (b *bench) enqueue(ctx context.Context) error {
	jobs := int64(b.load.Jobs)
	took, err := b.enqueueBulk(ctx, "bulk", b.load.Jobs, nil)
	if err != nil {
		return err
	}
	rows := []Row{{Name: "in bulk, one connection", Speed: speed(jobs, took)}}
	queues := []string{"bulk"}
	for _, callers := range b.load.Callers {
		queue := fmt.Sprintf("callers-%d", callers)
		took, err := b.enqueueSingly(ctx, queue, b.load.Jobs, callers)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("one by one, %d callers", callers)
		rows = append(rows, Row{Name: name, Speed: speed(jobs, took), Against: againstCommits})
		queues = append(queues, queue)
	}
	for _, queue := range queues {
		if err := b.check(ctx, queue, jobs, 0); err != nil {
			return err
		}
	}
	b.report.Rows = rows
	b.report.headline(rows[0])
	b.report.find("Each row's %d jobs are in the tables, once.", jobs)
	return nil
}
