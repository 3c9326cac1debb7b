package terminal

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressIsABarOnATerminalAndALineNowAndThenElsewhere(t *testing.T) {
	var said strings.Builder
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	p := NewProgress(&said, Screen{}, func() time.Time { return now }, 2000)
	p.Show(10, "purged", "")
	require.Empty(t, said.String(), "it may be over soon")
	p.Show(11, "purged", "paused")
	p.Show(12, "purged", "paused")
	now = now.Add(plainEvery)
	p.Show(1500, "purged", "paused")
	p.Total = 0
	p.Show(1600, "purged", "")
	p.Clear()
	require.Equal(t, "11 of 2,000 jobs purged, paused\n1,500 of 2,000 jobs purged, paused\n1,600 jobs purged\n", said.String())

	said.Reset()
	p.screen = Screen{Terminal: true, Width: 60}
	p.Total = 2000
	p.Show(1000, "purged", "")
	p.Clear()
	require.Equal(t, "\r"+strings.Repeat("█", 12)+strings.Repeat("░", 12)+"  50%  1,000 of 2,000 jobs purged\x1b[K"+ClearLine, said.String())
}
