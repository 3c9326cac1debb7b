package penstock

import (
	"context"
	"encoding/json"
	"time"

	"github.com/penstock/penstock/db"
)

// AuditClient reads the audit log: client.Audit.
type AuditClient struct{ *scope }

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

// AuditQuery asks for a page of the audit log.
type AuditQuery struct {
	Queue  string // empty: everything
	Limit  int    // 1–500; 0: 50
	Cursor string // Next of an earlier page of the same query
}

// List returns what was changed, newest first. Errors: *ArgumentError.
func (c AuditClient) List(ctx context.Context, q AuditQuery) (Page[AuditLine], error) {
	page := Page[AuditLine]{Items: []AuditLine{}}
	n, err := pageSize(q.Limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("audit", q.Queue)
	key, err := readCursor(q.Cursor, digest)
	if err != nil {
		return page, err
	}
	p := db.ListAuditParams{Queue: optional(q.Queue), RowLimit: n}
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
