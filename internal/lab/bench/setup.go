package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/jackc/pgx/v5"
)

// Setup is the environment of the measurements.
type Setup struct {
	Penstock          string `json:"penstock"`
	Go                string `json:"go"`
	Cores             int    `json:"cores"` // of this machine, shared with the server unless that is remote
	Server            string `json:"server"`
	Postgres          string `json:"postgres"`
	Fsync             string `json:"fsync"`
	SynchronousCommit string `json:"synchronous_commit"`
	FullPageWrites    string `json:"full_page_writes"`
	SharedBuffers     string `json:"shared_buffers"`
	MaxWALSize        string `json:"max_wal_size"`
	Jobs              int    `json:"jobs,omitempty"`
	Concurrency       int    `json:"concurrency,omitempty"`
	PayloadBytes      int    `json:"payload_bytes"`
	Callers           []int  `json:"callers,omitempty"`
	DurationMS        int64  `json:"duration_ms,omitempty"`
	Rates             []int  `json:"rates,omitempty"`
}

// setup reads the server's settings.
func (b *bench) setup(ctx context.Context) (Setup, error) {
	s := Setup{
		Penstock: b.opts.Version, Go: runtime.Version(), Cores: runtime.NumCPU(),
		Server: "private, as penstock serve starts it",
		Jobs:   b.load.Jobs, Concurrency: b.load.Concurrency, PayloadBytes: b.load.PayloadBytes,
		Callers: b.load.Callers, DurationMS: b.load.Duration.Milliseconds(), Rates: b.load.Rates,
	}
	if b.opts.URL != "" {
		s.Server = "of DATABASE_URL, on this machine"
		if !local(b.config.ConnConfig.Host) {
			s.Server = "of DATABASE_URL, on another machine"
		}
	}
	err := b.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'),
			current_setting('synchronous_commit'), current_setting('full_page_writes'),
			current_setting('shared_buffers'), current_setting('max_wal_size')`, pgx.QueryExecModeExec).
		Scan(&s.Postgres, &s.Fsync, &s.SynchronousCommit, &s.FullPageWrites, &s.SharedBuffers, &s.MaxWALSize)
	if err != nil {
		return s, fmt.Errorf("read the server's settings: %w", err)
	}
	return s, nil
}
