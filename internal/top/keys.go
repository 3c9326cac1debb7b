package top

import (
	"context"
	"fmt"

	tea "charm.land/bubbletea/v2"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// keys are what help lists, in its order.
var keys = [][2]string{
	{"columns", "rates and shares are of the last minute; WAIT and TOOK are its P95"},
	{"health", "of each queue, and the worst issue; penstock health has all of them"},
	{"↑ ↓, j k", "select a row; pgup, pgdn, g and G go further"},
	{"s", "sort queues by waiting, running, rate, dead, name"},
	{"/", "filter queues by a part of their names; esc ends it"},
	{"p", "pause the selected queue, or resume it"},
	{"enter", "open the selected queue's dead letter queue"},
	{"e", "what died, by error, in all queues"},
	{"w", "the workers, and what they hold"},
	{"r", "in a dead letter queue: redrive the selected job"},
	{"esc", "back"},
	{"?", "this help"},
	{"q, ctrl+c", "quit"},
}

// press does what a key asks for.
func (m *model) press(key string) tea.Cmd {
	if key == "ctrl+c" {
		return tea.Quit
	}
	switch {
	case m.typing:
		m.typeFilter(key)
		return nil
	case m.question != nil:
		q := m.question
		m.question = nil
		if key == "y" || key == "Y" {
			return q.yes
		}
		m.note, m.noteBad = "nothing was changed", false
		return nil
	}
	m.note = ""
	switch key {
	case "q":
		return tea.Quit
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.listHeight())
	case "pgdown":
		m.move(m.listHeight())
	case "home", "g":
		m.move(-m.rows())
	case "end", "G":
		m.move(m.rows())
	case "?":
		if m.screen != helpScreen {
			m.before, m.screen = m.screen, helpScreen
		} else {
			m.screen = m.before
		}
	case "esc", "backspace", "left":
		m.back()
	case "e":
		m.screen, m.row = groupsScreen, 0
	case "w":
		return m.openWorkers()
	default:
		return m.pressOn(key)
	}
	return nil
}

// pressOn does what a key asks for on the screen it is pressed on.
func (m *model) pressOn(key string) tea.Cmd {
	switch m.screen {
	case queuesScreen:
		return m.pressOnQueue(key)
	case groupsScreen:
		if key == "enter" && m.row < len(m.state.groups) {
			return m.open(m.state.groups[m.row].Queue)
		}
	case deadScreen:
		if key == "r" && m.row < len(m.state.dead) {
			m.ask(m.state.dead[m.row])
		}
	}
	return nil
}

func (m *model) pressOnQueue(key string) tea.Cmd {
	switch key {
	case "s":
		m.sort = (m.sort + 1) % len(sorts)
		return nil
	case "/":
		m.typing = true
		return nil
	}
	shown := m.queues()
	at := m.current(shown)
	if at < 0 {
		return nil
	}
	queue := shown[at].name
	switch key {
	case "enter", "right":
		return m.open(queue)
	case "p":
		if shown[at].paused {
			return m.act(queue+" is resumed", func(ctx context.Context, c *penstock.Client) error { return c.Queues.Resume(ctx, queue) })
		}
		m.question = &question{
			text: fmt.Sprintf("Pause %s? Running jobs finish, no other starts. y n", terminal.Plain(queue)),
			yes:  m.act(queue+" is paused", func(ctx context.Context, c *penstock.Client) error { return c.Queues.Pause(ctx, queue) }),
		}
	}
	return nil
}

func (m *model) typeFilter(key string) {
	runes := []rune(m.filter)
	switch {
	case key == "enter":
		m.typing = false
	case key == "esc":
		m.typing, m.filter = false, ""
	case key == "backspace" && len(runes) > 0:
		m.filter = string(runes[:len(runes)-1])
	case len([]rune(key)) == 1 && len(runes) < 40:
		m.filter += key
	}
}

// open shows a queue's dead letter queue.
func (m *model) open(queue string) tea.Cmd {
	m.screen, m.row, m.deadQueue, m.state.dead = deadScreen, 0, queue, nil
	return m.readNow()
}

// openWorkers shows the workers.
func (m *model) openWorkers() tea.Cmd {
	m.screen, m.row, m.deadQueue, m.state.workers = workersScreen, 0, "", nil
	return m.readNow()
}

func (m *model) back() {
	switch m.screen {
	case helpScreen:
		m.screen = m.before
	case queuesScreen:
		m.filter = ""
	default:
		m.screen, m.deadQueue, m.row = queuesScreen, "", 0
	}
}

// ask asks before a redrive, which makes a new job and takes the entry away.
func (m *model) ask(dead penstock.DeadJob) {
	m.question = &question{
		text: fmt.Sprintf("Redrive job %d (%s) of %s? y n", dead.JobID, terminal.Plain(dead.Name), dead.Queue),
		yes: func() tea.Msg {
			ctx, cancel := context.WithTimeout(m.ctx, readLimit)
			defer cancel()
			id, err := m.options.Client.DLQ.RedriveJob(ctx, dead.Queue, dead.ID, nil)
			return actedMsg{fmt.Sprintf("job %d goes on as job %d", dead.JobID, id), err}
		},
	}
}
