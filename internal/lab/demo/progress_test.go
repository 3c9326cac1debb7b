package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestTheProgressLineKeepsItsShape(t *testing.T) {
	for _, c := range []struct {
		name string
		now  penstock.QueueCounts
		done int64
		away bool
		want string
	}{
		{
			"at the start",
			penstock.QueueCounts{Waiting: 12442, Dead: 124},
			0, false,
			"waiting 12,442  running  0  retrying    0  done      0  dead   0      0 jobs/s",
		},
		{
			"scheduled jobs wait too, and earlier runs' dead are not this one's",
			penstock.QueueCounts{Waiting: 300, Scheduled: 21, Running: 8, Retrying: 140, Dead: 130},
			4500, false,
			"waiting    321  running  8  retrying  140  done  4,500  dead   6  2,250 jobs/s",
		},
		{
			"while Postgres is away",
			penstock.QueueCounts{},
			0, true,
			"Postgres does not answer; trying again",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			p := &progress{out: &out, before: penstock.QueueCounts{Dead: 124}, last: c.now, away: c.away}
			start := time.Now()
			p.sample(start)
			p.done.Store(c.done)
			p.sample(start.Add(2 * time.Second))
			p.draw()
			require.Equal(t, c.want+"\n", out.String())
			require.Less(t, out.Len(), 81, "a terminal of the usual width shows all of it")
		})
	}
}

func TestATerminalsLineIsRedrawnAndNeverWraps(t *testing.T) {
	var out strings.Builder
	width := 30
	p := &progress{out: &out, width: func() int { return width }}
	p.sample(time.Now())
	p.draw()
	width = 20
	p.draw()
	require.Equal(t, "\rwaiting      0  running  0  …\x1b[K\rwaiting      0  ru…\x1b[K", out.String())
}

func TestTheRateIsThatOfTheLastSeconds(t *testing.T) {
	p := &progress{}
	start := time.Now()
	for tenth := range 100 { // 10 s: at first 10, then 1,000 jobs a second
		p.sample(start.Add(time.Duration(tenth) * time.Second / 10))
		p.done.Add(map[bool]int64{true: 1, false: 100}[tenth < 50])
	}
	require.InDelta(t, 1000, p.rate(), 60)
	require.LessOrEqual(t, len(p.samples), 22)
}
