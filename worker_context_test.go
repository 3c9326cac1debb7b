package penstock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/db"
)

// started is an attempt as its handler gets it, with ten seconds to go.
func started(parent context.Context) *attemptContext {
	x := newExecution(parent, db.Lease{}, nil)
	x.ctx.start(time.Now(), 10*time.Second)
	return &x.ctx
}

func TestAHandlersContextEndsLikeAnyOther(t *testing.T) {
	for _, c := range []struct {
		name       string
		end        func(c *attemptContext, endParent context.CancelCauseFunc)
		err, cause error
	}{
		{
			"at its timeout", func(*attemptContext, context.CancelCauseFunc) { time.Sleep(10 * time.Second) },
			context.DeadlineExceeded, ErrTimeout,
		},
		{
			"when the job is cancelled", func(c *attemptContext, _ context.CancelCauseFunc) { c.end(ErrCancelled) },
			context.Canceled, ErrCancelled,
		},
		{
			"when the lease is lost", func(_ *attemptContext, end context.CancelCauseFunc) { end(ErrLeaseLost) },
			context.Canceled, ErrLeaseLost,
		},
		{
			"for the first of two causes", func(c *attemptContext, end context.CancelCauseFunc) { c.end(ErrCancelled); end(ErrShutdown) },
			context.Canceled, ErrCancelled,
		},
		{
			"when the attempt is over", func(c *attemptContext, _ context.CancelCauseFunc) { c.end(context.Canceled) },
			context.Canceled, context.Canceled,
		},
	} {
		for _, asked := range []bool{true, false} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, endParent := context.WithCancelCause(t.Context())
					defer endParent(nil)
					ctx := started(parent)
					var child context.Context
					if asked {
						var cancel context.CancelFunc
						child, cancel = context.WithCancel(ctx)
						defer cancel()
						require.NoError(t, ctx.Err())
						require.NoError(t, context.Cause(child))
					}
					c.end(ctx, endParent)
					synctest.Wait()
					require.Equal(t, asked, ctx.real != nil, "made only when something asked")
					require.Equal(t, c.cause, ctx.ended())
					if asked {
						<-child.Done()
						require.Equal(t, c.err, child.Err())
						require.Equal(t, c.cause, context.Cause(child))
					}
					<-ctx.Done()
					require.Equal(t, c.err, ctx.Err())
					require.Equal(t, c.cause, context.Cause(ctx))
				})
			})
		}
	}
}

type contextKey struct{}

func TestAHandlersContextHasItsDeadlineAndItsParentsValues(t *testing.T) {
	ctx := started(context.WithValue(t.Context(), contextKey{}, "of the parent"))
	defer ctx.end(nil)
	require.Same(t, ctx.execution, ctx.Value(executionKey{}))
	require.Nil(t, ctx.real, "the attempt is found without making anything")
	require.Equal(t, "of the parent", ctx.Value(contextKey{}))
	at, ok := ctx.Deadline()
	require.True(t, ok)
	require.WithinDuration(t, time.Now().Add(10*time.Second), at, time.Second)
}
