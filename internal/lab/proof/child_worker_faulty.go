package proof

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
)

// Jobs of optional nemeses: their handlers do what careless applications do.
const (
	jobRepeat = "repeat" // as effect, and repeats its transaction after a lost reply
	jobLeak   = "leak"   // leaves the transaction of its completion open, once
	jobStuck  = "stuck"  // never returns, once
)

// leakFor is how long a leaked transaction stays open.
const leakFor = 12 * time.Second

// repeat applies its effect like effect, in a wrapper that repeats the transaction when
// the connection breaks. The reply to a commit may be lost that way.
func (h *childWorker) repeat(ctx context.Context, job *penstock.Job[data]) error {
	h.recordStart(job)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	for range 5 {
		err = pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO proof.effects (job_id, attempt) VALUES ($1, $2)", job.ID, job.Attempt); err != nil {
				return err
			}
			h.recordIntent(job, "completed", effectText)
			return job.CompleteTx(ctx, tx)
		})
		var refused *pgconn.PgError
		if err == nil || errors.As(err, &refused) || errors.Is(err, penstock.ErrLeaseLost) {
			break
		}
	}
	if err != nil {
		h.recordIntent(job, "failed", "")
	}
	return err
}

// leak completes in a transaction and forgets to commit it. A later attempt completes.
func (h *childWorker) leak(ctx context.Context, job *penstock.Job[data]) error {
	h.recordStart(job)
	if job.Failures > 0 {
		h.recordIntent(job, "completed", "")
		return nil
	}
	h.recordIntent(job, "failed", "")
	// Not a connection of the pool: it is the engine that is tested, not an exhausted pool.
	conn, err := pgx.ConnectConfig(context.WithoutCancel(ctx), h.pool.Config().ConnConfig.Copy())
	if err != nil {
		return err
	}
	time.AfterFunc(leakFor, func() { _ = conn.Close(context.Background()) }) // as a server's timeout would
	tx, err := conn.Begin(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	return job.CompleteTx(ctx, tx)
}

// stick blocks its first attempt until the process ends. A later attempt completes.
func (h *childWorker) stick(_ context.Context, job *penstock.Job[data]) error {
	h.recordStart(job)
	if job.Attempt == 1 {
		select {}
	}
	h.recordIntent(job, "completed", "")
	return nil
}
