package top

import (
	"cmp"
	"context"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/penstock/penstock"
)

const (
	readLimit = 5 * time.Second
	mostDead  = 200 // entries of a dead letter queue shown
	mostGroup = 50
)

// state is what one read found.
type state struct {
	at      time.Time
	queues  []queue
	groups  []penstock.ErrorGroup
	dead    []penstock.DeadJob    // of the queue whose dead letter queue is open
	of      string                // that queue
	workers []penstock.WorkerInfo // nil: not asked for
}

// queue is how one queue does: its state, and the last minute.
type queue struct {
	name   string
	paused bool
	penstock.Metrics
	waitP95, runP95 *penstock.Milliseconds // nil: nothing was claimed or completed
}

// mostP95 is how many queues are asked for their percentiles at each read, the busiest first.
const mostP95 = 12

func readQueues(ctx context.Context, client *penstock.Client) ([]queue, error) {
	all, err := client.Metrics.All(ctx, time.Minute)
	if err != nil {
		return nil, err
	}
	settings, err := client.Queues.ListSettings(ctx)
	if err != nil {
		return nil, err
	}
	paused := map[string]bool{}
	for _, s := range settings {
		paused[s.Queue] = s.Paused
	}
	queues := make([]queue, len(all.Queues))
	for i, q := range all.Queues {
		queues[i] = queue{name: q.Queue, paused: paused[q.Queue], Metrics: q.Metrics}
	}
	slices.SortStableFunc(queues, func(a, b queue) int { return cmp.Compare(b.Completed+b.Failed, a.Completed+a.Failed) })
	for i := range queues[:min(mostP95, len(queues))] {
		q := &queues[i]
		if q.Completed+q.Failed == 0 {
			break
		}
		p, err := client.Metrics.Performance(ctx, penstock.PerformanceQuery{Queue: q.name, Window: time.Minute})
		if err != nil {
			return nil, err
		}
		q.waitP95, q.runP95 = p.WaitTime.P95, p.ProcessingTime.P95
	}
	return queues, nil
}

// The messages of reads and acts.
type (
	readMsg struct {
		state state
		err   error
	}
	readAgainMsg struct{}
	actedMsg     struct {
		done string // what was done, in a few words
		err  error
	}
)

// read asks for everything that is shown. dead names the queue whose dead letter queue
// is open, "" for none; workers are asked for while they are shown.
func (m *model) read() tea.Cmd {
	client, ctx, dead, workers := m.options.Client, m.ctx, m.deadQueue, m.screen == workersScreen
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		s := state{of: dead}
		var err error
		if s.queues, err = readQueues(ctx, client); err != nil {
			return readMsg{err: err}
		}
		if s.groups, err = client.DLQ.Groups(ctx, "", mostGroup); err != nil {
			return readMsg{err: err}
		}
		if dead != "" {
			page, err := client.DLQ.List(ctx, penstock.DeadQuery{Queue: dead, Limit: mostDead})
			if err != nil {
				return readMsg{err: err}
			}
			s.dead = page.Items
		}
		if workers {
			if s.workers, err = client.Workers.List(ctx, ""); err != nil {
				return readMsg{err: err}
			}
		}
		s.at = time.Now()
		return readMsg{state: s}
	}
}

func (m *model) readLater() tea.Cmd {
	return tea.Tick(m.options.Every, func(time.Time) tea.Msg { return readAgainMsg{} })
}

// act does something for the user, whose words done says when it is done.
func (m *model) act(done string, do func(context.Context, *penstock.Client) error) tea.Cmd {
	client, ctx := m.options.Client, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		return actedMsg{done, do(ctx, client)}
	}
}
