package penstock_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestEnqueueMiddlewareSeesChangesAndRefusesJobs(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	var order []string
	refusal := errors.New("no more mail today")
	tag := func(tag string) penstock.EnqueueMiddleware {
		return func(next penstock.EnqueueFunc) penstock.EnqueueFunc {
			return func(ctx context.Context, jobs []penstock.NewJob) ([]int64, error) {
				order = append(order, tag)
				for i := range jobs {
					if jobs[i].Name == "refused" {
						return nil, refusal
					}
					jobs[i].Tags = append(jobs[i].Tags, tag)
				}
				ids, err := next(ctx, jobs)
				if len(jobs) == 3 {
					ids = ids[:1]
				}
				return ids, err
			}
		}
	}
	client, err := penstock.NewClient(d.Pool, penstock.Config{
		EnqueueMiddleware: []penstock.EnqueueMiddleware{tag("outer"), tag("inner")},
	})
	require.NoError(t, err)
	tags := func(id int64) []string {
		info, err := client.Job(t.Context(), id)
		require.NoError(t, err)
		return info.Tags
	}
	job := penstock.NewJob{Queue: "mail", Name: "n"}

	id, err := client.Enqueue(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, []string{"outer", "inner"}, order)
	require.Equal(t, []string{"outer", "inner"}, tags(id))
	ids, err := client.EnqueueMany(t.Context(), []penstock.NewJob{job, job})
	require.NoError(t, err)
	require.Equal(t, []string{"outer", "inner"}, tags(ids[1]))

	_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "refused"})
	require.ErrorIs(t, err, refusal)
	tx, err := d.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = client.InTx(tx).Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "refused"})
	require.ErrorIs(t, err, refusal)
	_, err = client.EnqueueMany(t.Context(), []penstock.NewJob{job, job, job})
	require.ErrorContains(t, err, "answered 3 jobs with 1 ids", "middleware that loses ids is found out")
}

// What a handler costs that nobody traces or wraps.
func BenchmarkTry(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := penstock.Try(b.Context(), func(context.Context, *penstock.Job[int]) error { return nil }, penstock.Job[int]{Queue: "q", Name: "n"})
		if err != nil {
			b.Fatal(err)
		}
	}
}
