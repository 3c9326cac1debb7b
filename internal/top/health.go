package top

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// vitals are the health of everything when it was last read, apart from the rest:
// it is read less often, and what keeps it from being read keeps nothing else.
type vitals struct {
	penstock.HealthOverview
	at  time.Time // zero: never
	err error     // of the last read; nil when it succeeded
}

type (
	healthMsg      vitals
	healthAgainMsg struct{}
)

func (m *model) readHealth() tea.Cmd {
	client, ctx := m.options.Client, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, readLimit)
		defer cancel()
		all, err := client.Health.All(ctx)
		return healthMsg{all, time.Now(), err}
	}
}

func (m *model) readHealthLater() tea.Cmd {
	return tea.Tick(m.options.HealthEvery, func(time.Time) tea.Msg { return healthAgainMsg{} })
}

// tookHealth keeps a read. After a failed one the last health stays.
func (m *model) tookHealth(msg healthMsg) {
	if m.health.err = msg.err; msg.err == nil {
		m.health = vitals(msg)
	}
}

func statusStyle(s penstock.HealthStatus) lipgloss.Style {
	switch s {
	case penstock.StatusHealthy:
		return good
	case penstock.StatusWarning:
		return warn
	}
	return bad
}

// word is how a queue is, as far as it is known.
func (v vitals) word(queue string) cell {
	at := slices.IndexFunc(v.Queues, func(h penstock.Health) bool { return h.Queue == queue })
	if at < 0 {
		return absent
	}
	return cell{string(v.Queues[at].Status), statusStyle(v.Queues[at].Status)}
}

// worst is the worst issue there is, where it is, and how many others there are.
// Among equals the database's comes first: it is everybody's.
func (v vitals) worst() (where string, worst penstock.HealthIssue, others int) {
	others = -1
	for _, h := range append([]penstock.Health{v.Database}, v.Queues...) {
		others += len(h.Issues)
		if len(h.Issues) > 0 && (worst.Code == "" || h.Status == penstock.StatusCritical && worst.Severity != penstock.StatusCritical) {
			where, worst = h.Queue, h.Issues[0]
		}
	}
	if where == "" {
		where = "database"
	}
	return where, worst, max(others, 0)
}

// lines are the worst issue and what to do about it, or why health is not known;
// none when all is well.
func (v vitals) lines(width int, now time.Time) []string {
	if v.err != nil {
		since := "health cannot be read: "
		if !v.at.IsZero() {
			since = fmt.Sprintf("health is %s old, and cannot be read: ", terminal.Span(max(now.Sub(v.at), 0)))
		}
		return []string{warn.Render(since) + faint.Render(terminal.Plain(v.err.Error()))}
	}
	where, issue, others := v.worst()
	if issue.Code == "" {
		return nil
	}
	what := statusStyle(issue.Severity).Render(string(issue.Severity)) + " " + bold.Render(terminal.Plain(where)) + " " + terminal.Plain(issue.Message)
	if others > 0 {
		more := fmt.Sprintf("+%d: penstock health", others)
		if lipgloss.Width(what)+lipgloss.Width(more) >= width {
			more = fmt.Sprintf("+%d", others)
		}
		what = apart(what, faint.Render(more), width)
	}
	return []string{what, faint.Render("→ ") + advice(issue.Recommendation, width-2)}
}

// advice is a recommendation or, where there is no room for it, those of the commands
// it ends in that fit.
func advice(recommendation string, width int) string {
	text := terminal.Plain(recommendation)
	if _, commands, found := strings.Cut(text, ": "); found && lipgloss.Width(text) > width {
		text = commands
	}
	for lipgloss.Width(text) > width && strings.Contains(text, "; ") {
		text = text[:strings.LastIndex(text, "; ")]
	}
	return text
}
