package penstock

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
)

// As is the same client on somebody's behalf: the audit log names actor, up to 128
// characters, for what it changes.
func (c *Client) As(actor string) *Client {
	other := *c
	other.actor = actor
	return &other
}

// acting runs a change under the client's actor.
func (c *Client) acting(ctx context.Context, change func(*db.Queries) error) error {
	if c.actor == "" {
		return change(c.queries)
	}
	if c.pool == nil { // in the caller's transaction, whose later changes are not the actor's
		before, err := c.queries.Actor(ctx)
		if err != nil {
			return err
		}
		if err := c.queries.NameActor(ctx, c.actor); err != nil {
			return err
		}
		if err := change(c.queries); err != nil {
			return err
		}
		return c.queries.NameActor(ctx, before)
	}
	return pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		q := c.queries.WithTx(tx)
		if err := q.NameActor(ctx, c.actor); err != nil {
			return err
		}
		return change(q)
	})
}

// AuditLine is one change of settings or one bulk operation.
type AuditLine struct {
	ID     int64           `json:"id,string"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	DBUser string          `json:"dbUser"`
	Action string          `json:"action"` // queues.update, dead_jobs.purge …
	Queue  string          `json:"queueName,omitempty"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// AuditLog lists what was changed, the newest first; queue "" is everything.
func (c *Client) AuditLog(ctx context.Context, queue string, limit int, at string) (Page[AuditLine], error) {
	page := Page[AuditLine]{Items: []AuditLine{}}
	n, err := pageSize(limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("audit", queue)
	key, err := readCursor(at, digest)
	if err != nil {
		return page, err
	}
	p := db.ListAuditParams{Queue: optional(queue), RowLimit: n}
	if key != nil {
		p.BeforeID = &key.ID
	}
	rows, err := c.queries.ListAudit(ctx, p)
	if err != nil {
		return page, translate("list audit log", err)
	}
	for _, r := range rows {
		page.Items = append(page.Items, AuditLine{
			r.ID, r.At.UTC(), r.Actor, r.DbUser, r.Action, value(r.Queue), r.Before, r.After,
		})
	}
	if len(rows) == int(n) {
		page.Next = cursor{Query: digest, ID: rows[n-1].ID}.String()
	}
	return page, nil
}
