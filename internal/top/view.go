package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

const (
	headerLines = 3
	footerLines = 1
	wide        = 110 // columns from which there is room for more
	tall        = 34  // lines from which what died is shown below the queues
	groupLines  = 11
)

func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(time.Now()), "\n"))
	v.AltScreen = true
	v.WindowTitle = "penstock top"
	return v
}

// lines is the whole screen, each line as wide as the terminal.
func (m *model) lines(now time.Time) []string {
	lines := []string{m.title(now), m.totals()}
	if m.screen == queuesScreen {
		lines = append(lines, m.health.lines(m.width, now)...)
	}
	lines = append(lines, m.message())
	switch m.screen {
	case helpScreen:
		lines = append(lines, m.help()...)
	case groupsScreen:
		lines = append(lines, m.groupTable(m.row, now).lines(m.width, m.listHeight())...)
	case deadScreen:
		lines = append(lines, m.deadTable(now).lines(m.width, m.listHeight())...)
		if len(m.state.dead) == 0 && m.state.of == m.deadQueue {
			lines = append(lines, faint.Render("  Nothing is dead here."))
		}
	case workersScreen:
		if m.state.workers != nil && len(m.state.workers) == 0 {
			lines = append(lines, "", faint.Render("  No worker is registered: penstock work starts one."))
			break
		}
		lines = append(lines, m.workerTable(now).lines(m.width, m.listHeight())...)
	default:
		if !m.state.at.IsZero() && len(m.queues()) == 0 {
			lines = append(lines, "", faint.Render("  No queue to show."))
			break
		}
		lines = append(lines, m.queueTable().lines(m.width, m.listHeight())...)
		lines = append(lines, m.diedBelow(now)...)
	}
	for len(lines) < m.height-footerLines {
		lines = append(lines, "")
	}
	lines = append(lines[:max(m.height-footerLines, 0)], m.footer())
	for i := range lines {
		lines[i] = fit(lines[i], m.width)
	}
	return lines
}

// listHeight is how many lines the list on the screen may have, its head included.
func (m *model) listHeight() int {
	height := m.height - headerLines - footerLines
	if m.screen == queuesScreen {
		height -= len(m.health.lines(m.width, time.Now()))
		if m.height >= tall {
			height -= groupLines
		}
	}
	return max(height, 2)
}

func (m *model) title(now time.Time) string {
	status := good.Render("● ") + "live"
	switch {
	case m.err != nil && m.state.at.IsZero():
		status = bad.Render("● no answer yet: trying again")
	case m.err != nil:
		status = bad.Render(fmt.Sprintf("● no answer, %s old: trying again", terminal.Span(m.stale(now))))
	case m.state.at.IsZero():
		status = faint.Render("● reading")
	}
	return apart(bold.Render("penstock top")+"  "+faint.Render(terminal.Plain(m.options.Where)), status+"  "+now.Format(time.TimeOnly), m.width)
}

func (m *model) totals() string {
	var sum penstock.Metrics
	paused := 0
	for _, q := range m.state.queues {
		sum.Waiting += q.Waiting
		sum.Running += q.Running
		sum.Retrying += q.Retrying
		sum.Scheduled += q.Scheduled
		sum.Dead += q.Dead
		sum.ArrivalRate += q.ArrivalRate
		sum.Throughput += q.Throughput
		if q.paused {
			paused++
		}
	}
	fact := func(n int64, word string, style lipgloss.Style) string {
		if n == 0 {
			style = plain
		}
		return style.Render(terminal.Short(n)) + faint.Render(" "+word)
	}
	all := []string{
		fact(sum.Waiting, "waiting", bold), fact(sum.Running, "running", accent), fact(sum.Retrying, "retrying", warn),
		fact(sum.Dead, "dead", bad),
		faint.Render("in ") + terminal.Rate(sum.ArrivalRate), faint.Render("out ") + terminal.Rate(sum.Throughput) + faint.Render("/s"),
	}
	if m.width >= wide {
		all = append(all, fact(sum.Scheduled, "scheduled", plain))
	}
	if paused > 0 {
		all = append(all, warn.Render(terminal.Short(int64(paused))+" paused"))
	}
	return strings.Join(all, "  ")
}

// message is the line under the totals: a question, what was done, the filter.
func (m *model) message() string {
	switch {
	case m.question != nil:
		return warn.Render(m.question.text)
	case m.typing:
		return accent.Render("filter: ") + m.filter + "▏"
	case m.note != "" && m.noteBad:
		return bad.Render(terminal.Plain(m.note))
	case m.note != "":
		return good.Render(terminal.Plain(m.note))
	case m.err != nil:
		return faint.Render(terminal.Plain(m.err.Error()))
	case m.screen == deadScreen:
		return bold.Render("dead letter queue of " + m.deadQueue)
	case m.screen == groupsScreen:
		return bold.Render("what died, by error")
	case m.screen == workersScreen:
		return workersText(m.state.workers)
	case m.filter != "":
		return faint.Render("filter: ") + m.filter
	}
	return ""
}

func (m *model) footer() string {
	hints := map[screen]string{
		queuesScreen:  "s sort: " + sorts[m.sort].name + "  / filter  p pause  ↵ dead  e errors  w workers  ? help  q quit",
		groupsScreen:  "↑↓ select  enter dead letters of its queue  esc back  ? help  q quit",
		deadScreen:    "↑↓ select  r redrive  esc back  ? help  q quit",
		workersScreen: "↑↓ select  esc back  ? help  q quit",
		helpScreen:    "esc back  q quit",
	}
	return faint.Render(hints[m.screen])
}

func (m *model) help() []string {
	lines := make([]string, len(keys))
	for i, k := range keys {
		lines[i] = "  " + accent.Render(fit(k[0], 12)) + k[1]
	}
	return lines
}

// nonzero is a number that stands out only if it is one.
func nonzero(n int64, style lipgloss.Style) cell {
	if n == 0 {
		return absent
	}
	return cell{terminal.Short(n), style}
}

// rate is a number of jobs per second over the last minute.
func rate(perSecond float64) cell {
	switch {
	case perSecond == 0:
		return absent
	}
	return cell{terminal.Rate(perSecond), plain}
}

// took is how long something took, by a yardstick from which it is long.
func took(d *penstock.Milliseconds, long time.Duration) cell {
	switch {
	case d == nil:
		return absent
	case time.Duration(*d) >= long:
		return cell{terminal.Span(time.Duration(*d)), warn}
	}
	return cell{terminal.Span(time.Duration(*d)), plain}
}

func share(f *float64) cell {
	switch {
	case f == nil || *f == 0:
		return absent
	case *f >= 0.05:
		return cell{terminal.Percent(*f), bad}
	}
	return cell{terminal.Percent(*f), warn}
}

func (m *model) groupTable(selected int, now time.Time) table {
	t := table{selected: selected, columns: []column{
		{head: "JOBS", right: true}, {head: "QUEUE"}, {head: "CLASS"}, {head: "LAST", right: true}, {head: "ERROR", stretches: true},
	}}
	for _, g := range m.state.groups {
		class := cell{terminal.Plain(g.Class), bad}
		if g.Resolved {
			class = cell{terminal.Plain(g.Class) + " (resolved)", good}
		}
		t.rows = append(t.rows, []cell{
			{terminal.Short(g.Jobs), bold}, {g.Queue, plain}, class, {terminal.Span(max(now.Sub(g.LastSeen), 0)), plain}, {terminal.Plain(g.Example), plain},
		})
	}
	return t
}

// diedBelow fills the lower part of a tall screen.
func (m *model) diedBelow(now time.Time) []string {
	if m.height < tall || len(m.state.groups) == 0 {
		return nil
	}
	lines := []string{"", bold.Render("What died, by error")}
	return append(lines, m.groupTable(-1, now).lines(m.width, groupLines-2)...)
}

func (m *model) deadTable(now time.Time) table {
	t := table{selected: m.row, columns: []column{
		{head: "JOB", right: true},
		{head: "NAME"},
		{head: "REASON"},
		{head: "CLASS"},
		{head: "ATTEMPTS", right: true},
		{head: "DIED", right: true},
		{head: "ERROR", stretches: true},
	}}
	for _, d := range m.state.dead {
		t.rows = append(t.rows, []cell{
			{fmt.Sprint(d.JobID), plain},
			{terminal.Plain(d.Name), plain},
			{d.Reason, warn},
			{terminal.Plain(d.ErrorClass), bad},
			{fmt.Sprint(d.Attempts), plain},
			{terminal.Span(max(now.Sub(d.FailedAt), 0)), plain},
			{terminal.Plain(d.Error), plain},
		})
	}
	return t
}
