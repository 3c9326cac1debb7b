// Package wire breaks connections to Postgres the way networks do, at exactly the
// worst moment: it reads the protocol's messages as they pass, and can take away the
// reply to a statement after Postgres has committed it, or hold it back. A Wire sits
// in a pool of this process; a Proxy stands between other processes and the server,
// and also cuts, slows and swallows. Neither speaks TLS.
//
// It serves proofs and tests alone. A connection that it breaks looks to both sides
// like one that the network broke.
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
// value has none.
type Wire struct {
	mu     sync.Mutex
	faults []*Fault
}

// Fault is what is to happen to the reply of the next statement whose text
// contains marker.
type Fault struct {
	Committed <-chan struct{} // closed when Postgres has sent the whole reply

	marker    string
	rows      bool // a reply without rows passes, and the fault waits on
	committed chan struct{}
	deliver   <-chan struct{} // closed to hand the reply on; nil: it is dropped and the connection cut
}

// Cut drops the reply to the next statement with marker in it.
func (w *Wire) Cut(marker string) *Fault { return w.plan(Fault{marker: marker}) }

// CutRows drops the reply to the next statement with marker in it that brings rows.
func (w *Wire) CutRows(marker string) *Fault { return w.plan(Fault{marker: marker, rows: true}) }

// Stop keeps the reply to the next statement with marker in it for good.
func (w *Wire) Stop(marker string) *Fault {
	return w.plan(Fault{marker: marker, deliver: make(chan struct{})})
}

// Hold keeps the reply to the next statement with marker in it from the client until
// deliver is called, once or more often.
func (w *Wire) Hold(marker string) (f *Fault, deliver func()) {
	shut := make(chan struct{})
	return w.plan(Fault{marker: marker, deliver: shut}), sync.OnceFunc(func() { close(shut) })
}

func (w *Wire) plan(f Fault) *Fault {
	f.committed = make(chan struct{})
	f.Committed = f.committed
	w.again(&f)
	return &f
}

// again has a fault wait for a statement.
func (w *Wire) again(f *Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
}

// Forget takes back the faults that no statement has met, and returns how many.
func (w *Wire) Forget() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.faults)
	w.faults = nil
	return n
}

// meets takes the fault that is planned for a statement, if one is.
func (w *Wire) meets(statement string) *Fault {
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
