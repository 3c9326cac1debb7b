package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Limit is the speed of plain SQL on a table with a primary key and nothing else, with
// data of the same size. No queue can be faster at the same task; when the machine
// slows down, both do.
type Limit struct {
	RowsPerSecond    float64 `json:"rows_per_second"`    // 1,000 to an INSERT and commit, one connection
	CommitsPerSecond float64 `json:"commits_per_second"` // one row each, one connection
	CommitP50        float64 `json:"commit_p50_ms"`
	CommitP99        float64 `json:"commit_p99_ms"`
}

// Limits were measured just before and just after the scenario.
type Limits struct {
	Before Limit `json:"before"`
	After  Limit `json:"after"`
}

const limitBatch = 1000

// Tests use a tenth of these times; their figures are not read.
var (
	limitRowsFor    = 600 * time.Millisecond
	limitCommitsFor = 400 * time.Millisecond
	maxCeilingFor   = 4 * time.Second // bounds each of steady's ceilings
	idleWarmUp      = 2 * time.Second // of idle's worker
)

// measureLimit takes about a second.
func (b *bench) measureLimit(ctx context.Context) (l Limit, err error) {
	defer b.stage("measuring the machine's limit", (limitRowsFor + limitCommitsFor).Milliseconds(), nil)()
	defer func() {
		if err != nil {
			err = fmt.Errorf("measure the machine's limit: %w", err)
		}
	}()
	conn, err := pgx.ConnectConfig(ctx, b.config.ConnConfig.Copy())
	if err != nil {
		return l, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "CREATE TABLE bare (id bigint PRIMARY KEY, data jsonb NOT NULL)"); err != nil {
		return l, err
	}
	ids := make([]int64, limitBatch)
	data := make([]json.RawMessage, limitBatch)
	n := 0
	fill := func(size int) {
		for i := range size {
			ids[i], data[i] = int64(n), newPayload(n, b.load.PayloadBytes).json()
			n++
		}
	}
	start := time.Now()
	for time.Since(start) < limitRowsFor {
		fill(limitBatch)
		if _, err := conn.Exec(ctx, "INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::jsonb[])", ids, data); err != nil {
			return l, err
		}
	}
	l.RowsPerSecond = float64(n) / time.Since(start).Seconds()

	commits := newTimes()
	start = time.Now()
	for time.Since(start) < limitCommitsFor {
		fill(1)
		began := time.Now()
		if _, err := conn.Exec(ctx, "INSERT INTO bare VALUES ($1, $2)", ids[0], data[0]); err != nil {
			return l, err
		}
		commits.record(time.Since(began))
	}
	took := commits.latency()
	l.CommitsPerSecond = float64(took.Samples) / time.Since(start).Seconds()
	l.CommitP50, l.CommitP99 = took.P50, took.P99
	_, err = conn.Exec(ctx, "DROP TABLE bare")
	return l, err
}
