package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

func TestDurationsAreWrittenAsFlagsReadThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 36 * time.Hour: "36h", 48 * time.Hour: "2d", 366 * 24 * time.Hour: "366d",
		10 * time.Second: "10s", 20 * time.Minute: "20m", time.Microsecond: "1µs",
	} {
		require.Equal(t, want, terminal.Exact(d))
		var back wait
		require.NoError(t, back.Set(want))
		require.Equal(t, d, time.Duration(back))
	}
	require.Equal(t, "1.23s", about(penstock.Milliseconds(1234567*time.Microsecond)))
	require.Equal(t, "3h7m", about(penstock.Milliseconds(3*time.Hour+7*time.Minute+2*time.Second)))
}
