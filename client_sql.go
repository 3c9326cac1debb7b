package penstock

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/penstock/penstock/db"
)

// SQLTx is the part of *sql.Tx, *sql.Conn and *sql.DB that enqueueing needs.
type SQLTx interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// SQLClient enqueues inside a database/sql transaction of any Postgres driver.
type SQLClient struct {
	tx     SQLTx
	client *Client
}

// InSQLTx is the client inside the caller's database/sql transaction (P2).
func (c *Client) InSQLTx(tx SQLTx) *SQLClient { return &SQLClient{tx, c} }

// Enqueue is Client.Enqueue inside the transaction.
func (c *SQLClient) Enqueue(ctx context.Context, job NewJob) (int64, error) {
	ids, err := c.EnqueueMany(ctx, []NewJob{job})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// EnqueueMany is Client.EnqueueMany inside the transaction. After an error the
// transaction must be rolled back, as after any failed statement.
func (c *SQLClient) EnqueueMany(ctx context.Context, jobs []NewJob) ([]int64, error) {
	if len(c.client.middleware) > 0 {
		return c.client.through(c.enqueueMany)(ctx, jobs)
	}
	return c.enqueueMany(ctx, jobs)
}

func (c *SQLClient) enqueueMany(ctx context.Context, jobs []NewJob) ([]int64, error) {
	rows := make([]row, len(jobs))
	for i := range jobs {
		var err error
		if rows[i], err = jobs[i].row(); err != nil {
			return nil, err
		}
	}
	ids := make([]int64, len(rows))
	calls, places := groupRows(rows)
	for n, call := range calls {
		// Text in, text out: what every driver can carry.
		var answer string
		start := time.Now()
		err := translate("enqueue", c.tx.QueryRowContext(ctx,
			`SELECT to_jsonb(penstock.enqueue_many($1::text, $2::text::jsonb, $3::boolean))::text`,
			call.Queue, jobsJSON(call), call.Notify).Scan(&answer))
		c.client.hooks.Enqueued(EnqueueEvent{call.Queue, len(call.Names), time.Since(start), true, err})
		if err != nil {
			return nil, err
		}
		var got []int64
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			return nil, translate("read enqueued ids", err)
		}
		for i, place := range places[n] {
			ids[place] = got[i]
		}
	}
	return ids, nil
}

// jobsJSON is a call as the array of objects that the JSON form of enqueue_many takes.
func jobsJSON(call db.EnqueueGroupsParams) string {
	text := []byte{'['}
	for i, data := range call.Data {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, `{"name":"`...) // a name holds nothing that JSON escapes
		text = append(text, call.Names[i]...)
		text = append(text, `","data":`...)
		text = append(text, data...)
		if call.Options != nil && call.Options[i] != nil {
			text = append(text, ',')
			text = append(text, call.Options[i][1:]...) // {"a":1} without its opening brace
			continue
		}
		text = append(text, '}')
	}
	return string(append(text, ']'))
}
