package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// Workers beat every second, and are buried when they are silent for a lease, which
// is 15 s by default.
const (
	beatLate   = 5 * time.Second
	beatSilent = 15 * time.Second
)

// workerTable has on 80 columns who works what and how much of it, and on wide
// screens which jobs it takes.
func (m *model) workerTable(now time.Time) table {
	if m.err != nil { // they may well beat on, unseen
		now = m.state.at
	}
	right := func(head string) column { return column{head: head, right: true} }
	t := table{selected: m.row, columns: []column{
		{head: "HOST"},
		right("PID"),
		{head: "VERSION"},
		{head: "QUEUES", stretches: true},
		right("RUN"), right("SLOTS"), right("SINCE"), right("BEAT"),
	}}
	host, version, roomy := 18, 10, m.width >= wide
	if roomy {
		host, version = 32, 24
		t.columns = append(t.columns, column{head: "HANDLES"})
	}
	for _, w := range m.state.workers {
		row := []cell{
			{ansi.Truncate(terminal.Plain(w.Host), host, "…"), plain},
			{fmt.Sprint(w.PID), plain},
			{ansi.Truncate(terminal.Plain(w.Version), version, "…"), plain},
			{terminal.Plain(strings.Join(w.Queues, ", ")), plain},
			nonzero(w.Running, accent),
			{terminal.Short(int64(w.Concurrency)), plain},
			{terminal.Span(max(now.Sub(w.StartedAt), 0)), plain},
			beat(max(now.Sub(w.BeatAt), 0)),
		}
		if roomy {
			row = append(row, handles(w.Handlers))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// beat is how long ago a worker was heard of.
func beat(ago time.Duration) cell {
	switch {
	case ago >= beatSilent:
		return cell{terminal.Span(ago), bad}
	case ago >= beatLate:
		return cell{terminal.Span(ago), warn}
	case ago >= time.Second:
		return cell{terminal.Span(ago), plain}
	}
	return cell{"now", plain}
}

func handles(handlers []string) cell {
	if len(handlers) == 0 {
		return absent
	}
	return cell{ansi.Truncate(terminal.Plain(strings.Join(handlers, ", ")), 36, "…"), plain}
}

// workersText is how many workers there are and what they hold, which is more than
// they run at once when they claim ahead.
func workersText(workers []penstock.WorkerInfo) string {
	if len(workers) == 0 {
		return bold.Render("workers")
	}
	var running, slots int64
	for _, w := range workers {
		running += w.Running
		slots += int64(w.Concurrency)
	}
	return bold.Render("workers") + faint.Render(fmt.Sprintf(": %s with %s, holding %s",
		terminal.Short(int64(len(workers))), terminal.Plural(slots, "slot"), terminal.Plural(running, "job")))
}
