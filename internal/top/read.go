package top

import (
	"context"
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
	at     time.Time
	queues []penstock.QueueInfo
	groups []penstock.ErrorGroup
	dead   []penstock.DeadJob // of the queue whose dead letter queue is open
	of     string             // that queue
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
// is open, "" for none.
func (m *model) read() tea.Cmd {
	client, ctx, dead := m.options.Client, m.ctx, m.deadQueue
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		s := state{of: dead}
		var err error
		if s.queues, err = client.Queues(ctx); err != nil {
			return readMsg{err: err}
		}
		if s.groups, err = client.ErrorGroups(ctx, "", mostGroup); err != nil {
			return readMsg{err: err}
		}
		if dead != "" {
			page, err := client.DeadJobs(ctx, penstock.DeadQuery{Queue: dead, Limit: mostDead})
			if err != nil {
				return readMsg{err: err}
			}
			s.dead = page.Items
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
