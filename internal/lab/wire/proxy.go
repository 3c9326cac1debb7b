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

// socketName is what clients of port 5432 look for in a directory.
const socketName = ".s.PGSQL.5432"

// Proxy passes connections on from one Unix socket to another and breaks them on
// demand. What it does to one client's connections it does to no other proxy's.
type Proxy struct {
	Wire

	dir      string
	listener net.Listener
	links    sync.WaitGroup

	// mu guards what follows.
	mu     sync.Mutex
	target string // the server's socket
	open   map[*link]struct{}
	delay  time.Duration
	light  chan struct{} // closed: bytes pass; open: they wait
	shut   bool
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

// Listen makes a proxy whose clients connect to host=dir; target is the host of the
// server, a directory as well. dir is made, and removed by Close.
func Listen(dir, target string) (*Proxy, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the proxy's directory: %w", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{dir: dir, target: filepath.Join(target, socketName), listener: l, open: map[*link]struct{}{}}
	p.light = make(chan struct{})
	close(p.light)
	p.links.Go(p.accept)
	return p, nil
}

// Dir is the host that clients connect to.
func (p *Proxy) Dir() string { return p.dir }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files: some will be given back
			continue
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		server, err := net.Dial("unix", target)
		if err != nil { // the server is down, and so looks its socket
			_ = client.Close()
			continue
		}
		l := &link{client, p.wrap(server)}
		p.mu.Lock()
		if p.shut {
			p.mu.Unlock()
			l.close()
			return
		}
		p.open[l] = struct{}{}
		p.links.Go(func() { p.carry(l, l.server, l.client) })
		p.links.Go(func() { p.carry(l, l.client, l.server) })
		p.mu.Unlock()
	}
}

// carry copies until either end is gone, and takes the other with it.
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
			light, delay := p.light, p.delay
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

// CutAll closes every connection, in the middle of whatever passes, and returns how
// many there were.
func (p *Proxy) CutAll() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.close()
	}
	return len(p.open)
}

// Turn leads connections that come from now on to another server.
func (p *Proxy) Turn(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = filepath.Join(target, socketName)
}

// Delay holds every piece that passes for so long; 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Swallow makes a black hole of the proxy: connections stay open and nothing passes.
// Restore lets what was under way arrive, as TCP does when a network is mended.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.light:
		p.light = make(chan struct{})
	default:
	}
}

// Restore ends Swallow; it may be repeated.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.light:
	default:
		close(p.light)
	}
}

// Close cuts every connection and returns when nothing of the proxy is left.
func (p *Proxy) Close() {
	p.Restore()
	_ = p.listener.Close()
	p.mu.Lock()
	p.shut = true
	p.mu.Unlock()
	p.CutAll()
	p.links.Wait()
	_ = os.RemoveAll(p.dir)
}
