package top

import "time"

// queueTable has on 80 columns what tells whether a queue keeps up, and more on wide screens.
func (m *model) queueTable() table {
	right := func(head string) column { return column{head: head, right: true} }
	t := table{columns: []column{
		{head: "QUEUE", stretches: true},
		{head: "HEALTH"},
		right("WAITING"),
		{head: "TREND"},
		right("RUN"), right("DEAD"),
	}}
	trend, roomy := 6, m.width >= wide
	if roomy {
		trend = 24
		t.columns = append(t.columns, right("IN/S"))
	}
	t.columns = append(t.columns, right("OUT/S"), right("FAIL"), right("WAIT"), right("TOOK"))
	if roomy {
		t.columns = append(t.columns, right("OLDEST"), right("RETRYING"), right("SCHEDULED"), right("SLOTS"))
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
			{spark(m.history[q.name], trend), accent},
			nonzero(q.Running, accent), nonzero(q.Dead, bad),
		}
		if roomy {
			row = append(row, rate(q.ArrivalRate))
		}
		row = append(row, rate(q.Throughput), share(q.FailureRate), took(q.waitP95, time.Minute), took(q.runP95, 5*time.Minute))
		if roomy {
			oldest := cell{"–", faint}
			if q.Waiting > 0 {
				oldest = took(&q.OldestWaitingAge, 10*time.Minute)
			}
			row = append(row, oldest, nonzero(q.Retrying, warn), nonzero(q.Scheduled, plain), nonzero(int64(q.Slots), plain))
		}
		t.rows = append(t.rows, row)
	}
	return t
}
