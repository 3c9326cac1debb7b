package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

var errCut = errors.New("wire: cut")

// conn is one connection of a wire, on the client's side. One goroutine at a time
// reads, one writes.
type conn struct {
	net.Conn
	wire   *Wire
	closed chan struct{}
	once   sync.Once

	// Used by the writer only.
	greeted    bool
	sent       []byte // an incomplete message
	statements map[string]string

	// mu guards what reader and writer share.
	mu    sync.Mutex
	fault *Fault

	ready []byte // withheld bytes that the reader may have now
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Write checks for a statement with a planned fault, then passes p on.
func (c *conn) Write(p []byte) (int, error) {
	c.sent = append(c.sent, p...)
	for {
		kind, body, rest, ok := message(c.sent, c.greeted)
		if !ok {
			break
		}
		c.greeted, c.sent = true, rest
		c.matchStatement(kind, body)
	}
	return c.Conn.Write(p)
}

func (c *conn) matchStatement(kind byte, body []byte) {
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
	if f := c.wire.take(statement); f != nil {
		c.mu.Lock()
		c.fault = f
		c.mu.Unlock()
	}
}

// Read passes data on until a fault meets this connection. Then it collects the reply
// up to ReadyForQuery, which follows the commit.
func (c *conn) Read(p []byte) (int, error) {
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
	if f.rows && !hasRow(reply) {
		c.wire.add(f)
		n = copy(p, reply)
		c.ready = reply[n:]
		return n, nil
	}
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

// endsReady reports whether reply is complete messages of which the last is
// ReadyForQuery.
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

// hasRow reports whether a reply contains a DataRow.
func hasRow(reply []byte) bool {
	for len(reply) > 0 {
		kind, _, rest, ok := message(reply, true)
		if !ok {
			return false
		}
		if kind == 'D' {
			return true
		}
		reply = rest
	}
	return false
}

// message splits the first message off b. A client's first message has no kind.
func message(b []byte, hasKind bool) (kind byte, body, rest []byte, ok bool) {
	head := 0
	if hasKind {
		head = 1
	}
	if len(b) < head+4 {
		return 0, nil, b, false
	}
	size := head + int(binary.BigEndian.Uint32(b[head:]))
	if size < head+4 || len(b) < size {
		return 0, nil, b, false
	}
	if hasKind {
		kind = b[0]
	}
	return kind, b[head+4 : size], b[size:], true
}
