package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// socketName is the socket's file name for port 5432.
const socketName = ".s.PGSQL.5432"

// Proxy forwards connections from one Unix socket to another and breaks them on demand.
// Each client process has its own proxy.
type Proxy struct {
	Wire

	dir        string
	listener   net.Listener
	goroutines sync.WaitGroup

	// mu guards what follows.
	mu      sync.Mutex
	target  string // the server's socket
	open    map[*link]struct{}
	delay   time.Duration
	flowing chan struct{} // closed: bytes pass; open: bytes wait
	closed  bool
	refuses bool
}

// link is one client's connection and the server's end of it.
type link struct {
	client net.Conn
	server *conn
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// Listen makes a proxy whose clients connect to host=dir. target is the directory of
// the server's socket. Listen creates dir and Close removes it.
func Listen(dir, target string) (*Proxy, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the proxy's directory: %w", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{dir: dir, target: filepath.Join(target, socketName), listener: l, open: map[*link]struct{}{}}
	p.flowing = make(chan struct{})
	close(p.flowing)
	p.goroutines.Go(p.accept)
	return p, nil
}

// Dir is the directory that clients use as host.
func (p *Proxy) Dir() string { return p.dir }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // too many open files; some will be closed
			continue
		}
		p.mu.Lock()
		target, refuses := p.target, p.refuses
		p.mu.Unlock()
		if refuses {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("unix", target)
		if err != nil { // the server is down
			_ = client.Close()
			continue
		}
		l := &link{client, p.wrap(server)}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			l.close()
			return
		}
		p.open[l] = struct{}{}
		p.goroutines.Go(func() { p.carry(l, l.server, l.client) })
		p.goroutines.Go(func() { p.carry(l, l.client, l.server) })
		p.mu.Unlock()
	}
}

// carry copies until either side closes, and then closes both.
func (p *Proxy) carry(l *link, to, from net.Conn) {
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.open, l)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			light, delay := p.flowing, p.delay
			p.mu.Unlock()
			if delay > 0 {
				time.Sleep(delay)
			}
			select {
			case <-light:
			case <-l.server.closed:
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// CutAll closes every connection at once and returns their number.
func (p *Proxy) CutAll() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.close()
	}
	return len(p.open)
}

// Refuse makes the proxy close new connections at once; the open ones stay.
func (p *Proxy) Refuse(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuses
}

// SetTarget makes new connections go to another server.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = filepath.Join(target, socketName)
}

// Delay delays every piece of data by d; 0 ends that.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Block keeps connections open but passes no data until Unblock.
func (p *Proxy) Block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flowing:
		p.flowing = make(chan struct{})
	default:
	}
}

// Unblock passes the data that Block withheld, as TCP does after a network fault. It
// may be repeated.
func (p *Proxy) Unblock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flowing:
	default:
		close(p.flowing)
	}
}

// Close closes every connection and returns when all goroutines have ended.
func (p *Proxy) Close() {
	p.Unblock()
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CutAll()
	p.goroutines.Wait()
	_ = os.RemoveAll(p.dir)
}
