package bench

import (
	"context"
	"fmt"
)

var enqueueScenario = Scenario{
	Name:  "enqueue",
	Short: "Enqueue in bulk, and one by one from many callers",
	Long: `Enqueues the jobs with EnqueueMany, 1,000 per call, from one goroutine and then from
four. Then enqueues as many again with Enqueue from each number of callers; each caller
gets its id after its job is committed. No worker runs. Before and after each, SQL alone
enqueues half as many: the ceiling.`,
	Usual: Load{Jobs: 200_000, PayloadBytes: 100, Callers: []int{32, 256}},
	run:   (*bench).enqueue,
}

func (b *bench) enqueue(ctx context.Context) error {
	jobs := b.load.Jobs
	var queues []string
	measure := func(name, queue string, ceiling, ours func() (*Speed, error)) error {
		row, err := betweenCeilings(ceiling, ours)
		if err != nil {
			return err
		}
		row.Name = name
		b.report.Rows, queues = append(b.report.Rows, row), append(queues, queue)
		return nil
	}
	for _, n := range bulkConnections {
		queue := fmt.Sprintf("bulk-%d", n)
		if err := measure("in bulk, "+connectionsText(n), queue,
			func() (*Speed, error) { return b.bulkVerb(ctx, n, jobs/2) },
			func() (*Speed, error) { return b.enqueueBulk(ctx, queue, jobs, n, nil) },
		); err != nil {
			return err
		}
	}
	for _, n := range b.load.Callers {
		queue := fmt.Sprintf("callers-%d", n)
		if err := measure(fmt.Sprintf("one by one, %d callers", n), queue,
			func() (*Speed, error) { return b.callersVerb(ctx, n, jobs/2) },
			func() (*Speed, error) { return b.enqueueSingly(ctx, queue, jobs, n) },
		); err != nil {
			return err
		}
		b.report.Rows[len(b.report.Rows)-1].Against = againstCommits
	}
	for _, queue := range queues {
		if err := b.check(ctx, queue, int64(jobs), 0); err != nil {
			return err
		}
	}
	b.report.setHeadline(b.report.Rows[0])
	b.report.addFinding("Each row's %d jobs are in the tables, once.", jobs)
	return nil
}
