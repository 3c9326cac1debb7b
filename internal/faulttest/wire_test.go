package faulttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// wire sits on every connection of a pool and reads what passes. It can take
// away the reply to a statement after Postgres has committed it, or hold it back:
// what a broken network does, at exactly the worst moment. It speaks no TLS.
type wire struct {
	mu     sync.Mutex
	faults []*fault
}

// fault is what is to happen to the reply of the next statement whose text
// contains marker.
type fault struct {
	marker    string
	committed chan struct{}   // closed when Postgres has sent the whole reply
	deliver   <-chan struct{} // closed to hand the reply on; nil: it is dropped and the connection cut
}

// cut drops the reply to the next statement with marker in it.
func (w *wire) cut(marker string) *fault {
	return w.plan(&fault{marker: marker, committed: make(chan struct{})})
}

// stop keeps the reply to the next statement with marker in it for good.
func (w *wire) stop(marker string) *fault {
	return w.plan(&fault{marker: marker, committed: make(chan struct{}), deliver: make(chan struct{})})
}

// hold keeps the reply to the next statement with marker in it from the client
// until deliver is closed, which the end of the test also does.
func (w *wire) hold(t *testing.T, marker string) (f *fault, deliver func()) {
	shut, deliver := gate(t)
	return w.plan(&fault{marker: marker, committed: make(chan struct{}), deliver: shut}), deliver
}

func (w *wire) plan(f *fault) *fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
	return f
}

// meets takes the fault that is planned for a statement, if one is.
func (w *wire) meets(statement string) *fault {
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

// through makes a pool connect through the wire.
func (w *wire) through(cfg *pgxpool.Config) {
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.TLSConfig, cfg.ConnConfig.Fallbacks = nil, nil
	cfg.ConnConfig.DialFunc = pgconn.DialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &wiredConn{Conn: conn, wire: w, statements: map[string]string{}, closed: make(chan struct{})}, nil
	})
}

var errCut = errors.New("wire: cut")

// wiredConn is one connection on a wire. pgx reads it on one goroutine at a time
// and writes on one.
type wiredConn struct {
	net.Conn
	wire   *wire
	closed chan struct{}
	once   sync.Once

	// Written by the writer.
	greeted    bool
	sent       []byte // the part of a message that is not complete
	statements map[string]string

	// mu guards what both sides touch.
	mu    sync.Mutex
	fault *fault

	ready []byte // held back and delivered, for the reader
}

func (c *wiredConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Write looks for the statement that a fault waits for, then passes p on.
func (c *wiredConn) Write(p []byte) (int, error) {
	c.sent = append(c.sent, p...)
	for {
		kind, body, rest, ok := message(c.sent, c.greeted)
		if !ok {
			break
		}
		c.greeted, c.sent = true, rest
		c.look(kind, body)
	}
	return c.Conn.Write(p)
}

func (c *wiredConn) look(kind byte, body []byte) {
	first, rest, _ := bytes.Cut(body, []byte{0})
	second, _, _ := bytes.Cut(rest, []byte{0})
	statement := ""
	switch kind {
	case 'P': // Parse: name, text
		c.statements[string(first)] = string(second)
		return
	case 'B': // Bind: portal, name
		statement = c.statements[string(second)]
	case 'Q':
		statement = string(first)
	default:
		return
	}
	if f := c.wire.meets(statement); f != nil {
		c.mu.Lock()
		c.fault = f
		c.mu.Unlock()
	}
}

// Read passes on what Postgres says, unless a fault has met this connection: then
// it collects the reply up to ReadyForQuery, which follows the commit.
func (c *wiredConn) Read(p []byte) (int, error) {
	if len(c.ready) > 0 {
		n := copy(p, c.ready)
		c.ready = c.ready[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	f := c.fault
	c.mu.Unlock()
	if f == nil || err != nil {
		return n, err
	}
	reply := bytes.Clone(p[:n])
	for !endsReady(reply) {
		more := make([]byte, 64<<10)
		n, err := c.Conn.Read(more)
		if err != nil {
			return 0, err
		}
		reply = append(reply, more[:n]...)
	}
	c.mu.Lock()
	c.fault = nil
	c.mu.Unlock()
	close(f.committed)
	if f.deliver == nil {
		c.Close()
		return 0, errCut
	}
	select {
	case <-f.deliver:
	case <-c.closed:
		return 0, net.ErrClosed
	}
	n = copy(p, reply)
	c.ready = reply[n:]
	return n, nil
}

// endsReady reports whether whole messages end with ReadyForQuery.
func endsReady(reply []byte) bool {
	last := byte(0)
	for len(reply) > 0 {
		kind, _, rest, ok := message(reply, true)
		if !ok {
			return false
		}
		last, reply = kind, rest
	}
	return last == 'Z'
}

// message cuts the first message off b. The first that a client sends has no kind.
func message(b []byte, hasKind bool) (kind byte, body, rest []byte, ok bool) {
	head := 0
	if hasKind {
		head = 1
	}
	if len(b) < head+4 {
		return 0, nil, b, false
	}
	size := head + int(binary.BigEndian.Uint32(b[head:]))
	if len(b) < size {
		return 0, nil, b, false
	}
	if hasKind {
		kind = b[0]
	}
	return kind, b[head+4 : size], b[size:], true
}
