package top

import (
	"slices"
	"time"

	"github.com/penstock/penstock/internal/terminal"
)

const (
	longTrend  = 24
	shortTrend = 6
)

// queueTable has on 80 columns what shows whether a queue keeps up, and more on wide screens.
// Where names would be cut, trends are shorter and columns without a figure are left out.
func (m *model) queueTable() table {
	if m.width < wide {
		return m.queueTableWith(shortTrend)
	}
	t := m.queueTableWith(longTrend)
	if missing := t.natural() - m.width; missing > 0 {
		t = m.queueTableWith(max(longTrend-missing, shortTrend))
	}
	for at := len(t.columns) - 1; at >= 0 && t.natural() > m.width; at-- {
		if t.columns[at].optional && t.empty(at) {
			t = t.without(at)
		}
	}
	return t
}

func (m *model) queueTableWith(trend int) table {
	right := func(head string) column { return column{head: head, right: true} }
	t := table{columns: []column{
		{head: "QUEUE", stretches: true},
		{head: "HEALTH"},
		right("WAITING"),
		{head: "TREND"},
		right("RUN"), right("DEAD"),
	}}
	optional := func(head string) column { return column{head: head, right: true, optional: true} }
	roomy := m.width >= wide
	if roomy {
		t.columns = append(t.columns, right("IN/S"))
	}
	t.columns = append(t.columns, right("OUT/S"), right("FAIL"), right("WAIT"), right("TOOK"))
	if roomy {
		t.columns = append(t.columns, optional("OLDEST"), optional("RETRYING"), optional("SCHEDULED"), optional("SLOTS"))
	}
	shown := m.queues()
	t.selected = m.current(shown)
	for _, q := range shown {
		name := cell{q.name, plain}
		if q.paused {
			name = cell{q.name + " (paused)", warn}
		}
		row := []cell{
			name, m.health.word(q.name), nonzero(q.Waiting, bold),
			{trendText(m.history[q.name], trend), accent},
			nonzero(q.Running, accent), nonzero(q.Dead, bad),
		}
		if roomy {
			row = append(row, rate(q.ArrivalRate))
		}
		row = append(row, rate(q.Throughput), share(q.FailureRate), took(q.waitP95, time.Minute), took(q.runP95, 5*time.Minute))
		if roomy {
			oldest := absent
			if q.Waiting > 0 {
				oldest = took(&q.OldestWaitingAge, 10*time.Minute)
			}
			row = append(row, oldest, nonzero(q.Retrying, warn), nonzero(q.Scheduled, plain), nonzero(int64(q.Slots), plain))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// trendText draws the last values; none waiting stays blank, so that a busy queue stands out.
func trendText(values []int64, width int) string {
	drawn := slices.Clone(values)
	for i, v := range drawn {
		if v == 0 {
			drawn[i] = terminal.Unknown
		}
	}
	return terminal.Spark(drawn, width)
}
