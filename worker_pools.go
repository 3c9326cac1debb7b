package penstock

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/dial"
)

// atOnce is how many claims and flushes can be under way: that many connections serve them.
func (w *Worker) atOnce() int { return min(len(w.queues), 8) + flushers + 1 }

// connect makes a pool of the worker's own. Claims and results have one that upkeep has
// no part in: the first claim on a connection plans for 4 to 10 ms, which is what a job
// waited for whenever upkeep was just using the connection of the claim before.
func (w *Worker) connect(kind string, connections int) (*pgxpool.Pool, error) {
	cfg := w.client.pool.Config()
	dial.Name(cfg.ConnConfig, kind)
	cfg.MaxConns = int32(connections)
	cfg.MinConns, cfg.MinIdleConns = 0, 0
	after := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if after != nil {
			if err := after(ctx, conn); err != nil {
				return err
			}
		}
		conn.TypeMap().RegisterType(rawJSON)
		// What is decided after waiting for a lock must see what was committed before it.
		_, err := conn.Exec(ctx, "SET default_transaction_isolation = 'read committed'")
		return err
	}
	return pgxpool.NewWithConfig(context.Background(), cfg)
}

// rawJSON is jsonb that is handed over as it came. Postgres has checked it; by itself
// pgx would parse every job's data to do so, 1.4 µs for 100 bytes.
var rawJSON = &pgtype.Type{Name: "jsonb", OID: pgtype.JSONBOID, Codec: &pgtype.JSONBCodec{
	Marshal: json.Marshal,
	Unmarshal: func(text []byte, v any) error {
		if raw, ok := v.(*json.RawMessage); ok {
			*raw = bytes.Clone(text)
			return nil
		}
		return json.Unmarshal(text, v)
	},
}}
