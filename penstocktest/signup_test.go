package penstocktest_test

// The tests of this file are how an application tests itself with the package: a
// small sign-up that sends mail, and what each kind of test says about it.

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/penstocktest"
)

type Welcome struct {
	Email string `json:"email"`
	Plan  string `json:"plan"`
}

// signUp is the application's: it enqueues in the transaction that makes the account.
func signUp(ctx context.Context, tx pgx.Tx, client *penstock.Client, email string) error {
	_, err := client.InTx(tx).EnqueueMany(ctx, []penstock.NewJob{
		{Queue: "mail", Name: "welcome", Data: Welcome{email, "free"}, Priority: penstock.High, IdempotencyKey: "welcome " + email},
		{Queue: "mail", Name: "survey", Data: map[string]any{"email": email}, Delay: 48 * time.Hour, Tags: []string{"slow"}},
	})
	return err
}

// newWorker is the application's: its queues, handlers and middleware.
func newWorker(t *testing.T, client *penstock.Client, send func(email string) error) *penstock.Worker {
	t.Helper()
	w, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"mail": {}}})
	require.NoError(t, err)
	penstock.Handle(w, "mail", penstock.AnyName, func(_ context.Context, job *penstock.Job[Welcome]) error {
		return send(job.Data.Email)
	})
	return w
}

func begin(t *testing.T, db *penstocktest.DB) pgx.Tx {
	t.Helper()
	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func TestSigningUpEnqueuesTheMails(t *testing.T) { // P2: seen inside the transaction, and nowhere else before it commits
	t.Parallel()
	db := penstocktest.NewDB(t)
	tx := begin(t, db)
	require.NoError(t, signUp(t.Context(), tx, db.Client, "ann@example.org"))

	welcome := penstocktest.RequireEnqueued(t, tx, penstocktest.Want{
		Queue: "mail", Name: "welcome", Priority: penstock.High, MaxDelay: time.Second,
		Data: map[string]any{"email": "ann@example.org"},
	})
	require.Equal(t, "welcome ann@example.org", welcome.IdempotencyKey)
	require.Equal(t, penstock.Waiting, welcome.State)
	penstocktest.RequireEnqueued(t, tx, penstocktest.Want{
		Name: "survey", Tags: []string{"slow"}, MinDelay: 47 * time.Hour, MaxDelay: 49 * time.Hour,
	})
	require.Len(t, penstocktest.AllEnqueued(t, tx, penstocktest.Want{Queue: "mail"}), 2)
	penstocktest.RequireNotEnqueued(t, tx, penstocktest.Want{Name: "invoice"})
	penstocktest.RequireNotEnqueued(t, db.Pool, penstocktest.Want{})
}

func TestTheNextMailIsSentToItsReader(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	tx := begin(t, db)
	require.NoError(t, signUp(t.Context(), tx, db.Client, "ann@example.org"))
	require.NoError(t, tx.Commit(t.Context()))

	var sent []string
	end := penstocktest.RunOne(t, newWorker(t, db.Client, func(email string) error {
		sent = append(sent, email)
		return nil
	}))
	require.Equal(t, "completed", end.State, "%v", end)
	require.Equal(t, "welcome", end.Name)
	require.Equal(t, []string{"ann@example.org"}, sent)
}

func TestAMailThatNobodyTakesIsGivenUpAndCanBeRedriven(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	_, err := db.Client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "welcome", MaxAttempts: 3})
	require.NoError(t, err)
	w := newWorker(t, db.Client, func(string) error { return errors.New("connection refused") })

	ends := penstocktest.Drain(t, w)
	require.Len(t, ends, 1, "the retry waits for its time")
	require.Equal(t, "retrying", ends[0].State)

	ends = penstocktest.FastForward(t, w)
	require.Len(t, ends, 2)
	require.Equal(t, "dead", ends[1].State, "%v", ends)
	page, err := db.Client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "mail"})
	require.NoError(t, err)
	require.Equal(t, "connection refused", page.Items[0].Error)
}
