package top

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// screen is what fills the terminal.
type screen int

const (
	queuesScreen screen = iota
	groupsScreen
	deadScreen
	workersScreen
	helpScreen
)

// model is everything shown, changed by one message at a time.
type model struct {
	ctx           context.Context
	options       Options
	width, height int

	screen   screen
	before   screen // help returns there
	state    state
	history  map[string][]int64 // of jobs waiting, by queue, the newest last
	err      error              // of the last read; nil when it succeeded
	health   vitals
	note     string // what was done last, or why not
	noteBad  bool
	question *question // awaits y or n

	selected  string // a queue, by name: its place changes
	row       int    // in the other lists
	sort      int    // of sorts
	filter    string
	typing    bool   // the filter
	deadQueue string // whose dead letter queue is open
}

// question is asked before something that cannot be taken back.
type question struct {
	text string
	yes  tea.Cmd
}

// sorts are the orders of queues, each with the one before it to decide ties.
var sorts = []struct {
	name string
	less func(a, b queue) int
}{
	{"waiting", func(a, b queue) int { return cmp.Compare(b.Waiting, a.Waiting) }},
	{"running", func(a, b queue) int { return cmp.Compare(b.Running, a.Running) }},
	{"rate", func(a, b queue) int { return cmp.Compare(b.Throughput, a.Throughput) }},
	{"dead", func(a, b queue) int { return cmp.Compare(b.Dead, a.Dead) }},
	{"name", func(queue, queue) int { return 0 }},
}

const longestHistory = 120

func newModel(ctx context.Context, o Options) *model {
	return &model{ctx: ctx, options: o, width: cmp.Or(o.Width, 80), height: cmp.Or(o.Height, 24), history: map[string][]int64{}}
}

func (m *model) Init() tea.Cmd { return tea.Batch(m.read(), m.readHealth()) }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case readAgainMsg:
		return m, m.read()
	case readMsg:
		m.took(msg)
		return m, m.readLater()
	case healthAgainMsg:
		return m, m.readHealth()
	case healthMsg:
		m.tookHealth(msg)
		return m, m.readHealthLater()
	case actedMsg:
		m.note, m.noteBad = msg.done, msg.err != nil
		if msg.err != nil {
			m.note = msg.err.Error()
		}
		return m, m.readNow()
	case readNowMsg:
		m.took(msg.readMsg)
	case tea.KeyPressMsg:
		return m, m.press(msg.String())
	}
	return m, nil
}

// readNowMsg is a read out of turn, which plans no next one.
type readNowMsg struct{ readMsg }

func (m *model) readNow() tea.Cmd {
	read := m.read()
	return func() tea.Msg { return readNowMsg{read().(readMsg)} }
}

// took keeps a read. After a failed one the last state stays.
func (m *model) took(msg readMsg) {
	m.err = msg.err
	if msg.err != nil {
		return
	}
	if msg.state.of != m.deadQueue { // asked for before another was opened
		msg.state.dead = nil
	}
	if msg.state.workers == nil { // asked for before they were opened, or under help
		msg.state.workers = m.state.workers
	}
	chosen := ""
	if ids := m.rowIDs(); m.row < len(ids) {
		chosen = ids[m.row]
	}
	m.state = msg.state
	if at := slices.Index(m.rowIDs(), chosen); at >= 0 {
		m.row = at
	}
	seen := map[string][]int64{}
	for _, q := range m.state.queues {
		h := append(m.history[q.name], q.Waiting)
		seen[q.name] = h[max(0, len(h)-longestHistory):]
	}
	m.history = seen
	m.row = min(m.row, max(m.rows()-1, 0))
}

// queues are those shown, in order.
func (m *model) queues() []queue {
	var shown []queue
	for _, q := range m.state.queues {
		if strings.Contains(strings.ToLower(q.name), strings.ToLower(m.filter)) {
			shown = append(shown, q)
		}
	}
	slices.SortStableFunc(shown, func(a, b queue) int {
		return cmp.Or(sorts[m.sort].less(a, b), strings.Compare(a.name, b.name))
	})
	return shown
}

// current is the selected queue's place among those shown, -1 when there are none.
func (m *model) current(shown []queue) int {
	at := slices.IndexFunc(shown, func(q queue) bool { return q.name == m.selected })
	if at < 0 && len(shown) > 0 {
		return 0
	}
	return at
}

// rows is how many rows the list on the screen has.
func (m *model) rows() int {
	switch m.screen {
	case groupsScreen:
		return len(m.state.groups)
	case deadScreen:
		return len(m.state.dead)
	case workersScreen:
		return len(m.state.workers)
	}
	return len(m.queues())
}

// rowIDs name the rows of the list on the screen, where rows come and go above the
// selected one.
func (m *model) rowIDs() []string {
	var ids []string
	switch m.screen {
	case deadScreen:
		for _, d := range m.state.dead {
			ids = append(ids, d.ID)
		}
	case workersScreen:
		for _, w := range m.state.workers {
			ids = append(ids, strconv.FormatInt(w.ID, 10))
		}
	}
	return ids
}

// move moves the selection by n rows, as far as there are any.
func (m *model) move(n int) {
	if m.screen != queuesScreen {
		m.row = max(min(m.row+n, m.rows()-1), 0)
		return
	}
	shown := m.queues()
	if at := m.current(shown); at >= 0 {
		m.selected = shown[max(min(at+n, len(shown)-1), 0)].name
	}
}

// stale is how old the state on the screen is, 0 while reads succeed.
func (m *model) stale(now time.Time) time.Duration {
	if m.err == nil || m.state.at.IsZero() {
		return 0
	}
	return now.Sub(m.state.at)
}
