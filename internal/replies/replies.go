// Package replies keeps the answers of requests that carry an idempotency key, so that a
// repeated request has no second effect and gets the same answer.
package replies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/pgerror"
)

var (
	// ErrKeyBusy: the first request with this key has not ended yet. Repeat later.
	ErrKeyBusy = errors.New("penstock: idempotency key busy")
	// ErrKeyReused: this key was used for another request before. Use a new one.
	ErrKeyReused = errors.New("penstock: idempotency key reused for another request")
)

// Reply is the answer to a request.
type Reply struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// lockTimeout bounds each wait for a lock, in milliseconds: the transaction keeps a
// connection busy while it waits.
const lockTimeout = "2000"

// Once runs do in a transaction and keeps its reply in that transaction for 24 hours,
// under caller and key: the effects and the reply exist together or not at all. When a
// reply is kept already, Once returns it and does not call do. After an error of do
// nothing is kept. client must not be in a transaction.
//
// Errors: ErrKeyReused when the key came with another request; ErrKeyBusy while the first
// request runs; penstock.ErrOutcomeUnknown when the answer of the commit was lost, and
// repeating finds out; those of do.
func Once(ctx context.Context, client *penstock.Client, caller, key string, request []byte,
	do func(inside *penstock.Client) (Reply, error),
) (reply Reply, repeated bool, err error) {
	pool := client.Pool()
	if pool == nil {
		return reply, false, errors.New("penstock: Once opens a transaction of its own")
	}
	digest := sha256.Sum256(request)
	done := false // but for the commit
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		queries := db.New(tx)
		if err := queries.BoundLocks(ctx, lockTimeout); err != nil {
			return err
		}
		kept, err := queries.TakeReply(ctx, db.TakeReplyParams{Caller: caller, Key: key})
		if err != nil {
			return takeError(err)
		}
		if len(kept) > 0 {
			reply, repeated, err = read(kept[0], digest[:])
			return err
		}
		if reply, err = do(client.InTx(tx)); err != nil {
			return err
		}
		headers, err := json.Marshal(reply.Headers)
		if err != nil {
			return err
		}
		err = queries.StoreReply(ctx, db.StoreReplyParams{
			Caller: caller, Key: key, Request: digest[:], Status: int32(reply.Status), Headers: headers, Body: reply.Body,
		})
		if err != nil {
			return fmt.Errorf("store reply: %w", err)
		}
		done = true
		return nil
	})
	if done && pgerror.ReplyLost(err) {
		err = fmt.Errorf("%w: %w", penstock.ErrOutcomeUnknown, err)
	}
	return reply, repeated, err
}

// takeError is the error of a key that cannot be taken.
func takeError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case pgerror.Conflict:
			return ErrKeyBusy
		case pgerror.InvalidArgument:
			return fmt.Errorf("take idempotency key: %w", &penstock.ArgumentError{Argument: pg.ColumnName, Message: pg.Message})
		}
	}
	return fmt.Errorf("take idempotency key: %w", err)
}

func read(kept db.Reply, digest []byte) (Reply, bool, error) {
	if !bytes.Equal(kept.Request, digest) {
		return Reply{}, false, ErrKeyReused
	}
	reply := Reply{Status: int(kept.Status), Body: kept.Body}
	if err := json.Unmarshal(kept.Headers, &reply.Headers); err != nil {
		return Reply{}, false, fmt.Errorf("read kept reply: %w", err)
	}
	return reply, true, nil
}
