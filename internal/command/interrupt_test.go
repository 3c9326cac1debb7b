package command

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFirstSignalDrainsAndTheSecondExits(t *testing.T) {
	exited := make(chan int, 1)
	i := &interrupts{signals: make(chan os.Signal, 2), Exit: func(code int) { exited <- code }}
	drained, killed := make(chan struct{}), make(chan struct{})
	i.Stopped(func() { close(drained) })
	i.Exiting(func() { close(killed) })
	ctx, stop := i.watch(context.Background())
	defer stop()

	require.NoError(t, ctx.Err())
	i.signals <- syscall.SIGTERM
	<-ctx.Done()
	<-drained
	require.Equal(t, interruptedError{syscall.SIGTERM}, context.Cause(ctx))
	require.Empty(t, exited)

	i.signals <- syscall.SIGINT
	require.Equal(t, 128+2, <-exited)
	<-killed
}

func TestWatchEndsWithItsCommand(t *testing.T) {
	ctx, stop := NewInterrupts().watch(context.Background())
	stop()
	require.Error(t, ctx.Err())
}
