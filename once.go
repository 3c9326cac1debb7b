package penstock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
)

// Reply is the answer to a request, as Once keeps it.
type Reply struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// onceLockTimeout bounds each wait for a lock, in milliseconds: the transaction holds a
// connection meanwhile.
const onceLockTimeout = "2000"

// Once answers a request that may come more than once: do runs in a transaction, and
// its reply is kept for 24 hours under caller and key in that transaction, so that the
// effect and the reply exist together or not at all. When they do exist, the kept reply
// is returned and do is not called. An error of do leaves nothing behind.
// Errors: ErrKeyReused when the key came with another request (compared by digest);
// ErrKeyBusy while the first is under way; ErrOutcomeUnknown when the commit's answer
// was lost: repeating finds out; do's.
func (c *Client) Once(ctx context.Context, caller, key string, request []byte, do func(inside *Client) (Reply, error)) (reply Reply, repeated bool, err error) {
	if c.pool == nil {
		return reply, false, errors.New("penstock: Once opens a transaction of its own")
	}
	digest := sha256.Sum256(request)
	done := false // but for the commit
	err = pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		inside := c.InTx(tx)
		if err := inside.queries.BoundLocks(ctx, onceLockTimeout); err != nil {
			return err
		}
		kept, err := inside.queries.TakeReply(ctx, db.TakeReplyParams{Caller: caller, Key: key})
		switch err = translate("take idempotency key", err); {
		case errors.Is(err, ErrConflict):
			return ErrKeyBusy
		case err != nil:
			return err
		}
		if len(kept) > 0 {
			reply, repeated, err = readReply(kept[0], digest[:])
			return err
		}
		if reply, err = do(inside); err != nil {
			return err
		}
		headers, err := json.Marshal(reply.Headers)
		if err != nil {
			return err
		}
		err = translate("store reply", inside.queries.StoreReply(ctx, db.StoreReplyParams{
			Caller: caller, Key: key, Request: digest[:], Status: int32(reply.Status), Headers: headers, Body: reply.Body,
		}))
		done = err == nil
		return err
	})
	if done && replyLost(err) {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return reply, repeated, err
}

func readReply(kept db.Reply, digest []byte) (Reply, bool, error) {
	if !bytes.Equal(kept.Request, digest) {
		return Reply{}, false, ErrKeyReused
	}
	reply := Reply{Status: int(kept.Status), Body: kept.Body}
	if err := json.Unmarshal(kept.Headers, &reply.Headers); err != nil {
		return Reply{}, false, translate("read kept reply", err)
	}
	return reply, true, nil
}
