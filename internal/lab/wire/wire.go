// Package wire breaks connections to Postgres the way networks do, at chosen moments.
// It reads the protocol's messages as they pass. It can drop or delay the reply to a
// statement after Postgres has committed it. A Wire is used by a pool of this process.
// A Proxy stands between other processes and the server; it can also cut, delay and
// block. Neither supports TLS.
//
// The package is for proofs and tests only. To both sides a broken connection looks as
// if the network had broken it.
package wire

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Wire holds the faults that wait for a statement on any of its connections. The zero
// value has no faults.
type Wire struct {
	mu     sync.Mutex
	faults []*Fault
}

// Fault is what happens to the reply to the next statement whose text contains marker.
type Fault struct {
	Committed <-chan struct{} // closed when Postgres has sent the whole reply

	marker    string
	rows      bool // a reply without rows passes, and the fault stays planned
	committed chan struct{}
	deliver   <-chan struct{} // closed to pass the reply on; nil: drop it and cut the connection
}

// Cut drops the reply to the next statement with marker in it.
func (w *Wire) Cut(marker string) *Fault { return w.plan(Fault{marker: marker}) }

// CutRows drops the reply to the next statement with marker in it that returns rows.
func (w *Wire) CutRows(marker string) *Fault { return w.plan(Fault{marker: marker, rows: true}) }

// Stop withholds the reply to the next statement with marker in it for good.
func (w *Wire) Stop(marker string) *Fault {
	return w.plan(Fault{marker: marker, deliver: make(chan struct{})})
}

// Hold withholds the reply to the next statement with marker in it until deliver is
// called. deliver may be called again.
func (w *Wire) Hold(marker string) (f *Fault, deliver func()) {
	shut := make(chan struct{})
	return w.plan(Fault{marker: marker, deliver: shut}), sync.OnceFunc(func() { close(shut) })
}

func (w *Wire) plan(f Fault) *Fault {
	f.committed = make(chan struct{})
	f.Committed = f.committed
	w.add(&f)
	return &f
}

// add plans a fault.
func (w *Wire) add(f *Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
}

// Clear removes the faults that no statement has met, and returns their number.
func (w *Wire) Clear() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.faults)
	w.faults = nil
	return n
}

// take removes and returns the fault planned for a statement, or nil.
func (w *Wire) take(statement string) *Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, f := range w.faults {
		if strings.Contains(statement, f.marker) {
			w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
			return f
		}
	}
	return nil
}

// Through makes a pool connect through the wire.
func (w *Wire) Through(cfg *pgxpool.Config) {
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.TLSConfig, cfg.ConnConfig.Fallbacks = nil, nil
	cfg.ConnConfig.DialFunc = pgconn.DialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return w.wrap(c), nil
	})
}

func (w *Wire) wrap(c net.Conn) *conn {
	return &conn{Conn: c, wire: w, statements: map[string]string{}, closed: make(chan struct{})}
}
