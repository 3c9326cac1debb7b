package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// readyLine is what the server logs when it takes connections, in every version
// and, with LC_ALL=C, in English.
var readyLine = []byte("database system is ready to accept connections")

// tailSize is how much of the server's log an error quotes.
const tailSize = 2 << 10

// process is one run of the server, from exec to exit.
type process struct {
	cmd    *exec.Cmd
	log    *serverLog
	exited chan struct{} // closed after err is set
	err    error
}

// runProcess starts the server and returns at once. Its goroutine keeps the thread
// that forked the server alive until the server has exited, because the kernel
// takes the end of that thread for the end of the parent (see dieWithParent).
func runProcess(cmd *exec.Cmd, log *serverLog) (*process, error) {
	p := &process{cmd: cmd, log: log, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second // children of a killed server may keep the pipe
	started := make(chan error, 1)
	go func() {
		_ = onLockedThread(func() error {
			if err := cmd.Start(); err != nil {
				started <- err
				return nil
			}
			started <- nil
			p.err = cmd.Wait()
			log.close()
			close(p.exited)
			return nil
		})
	}()
	if err := <-started; err != nil {
		log.close()
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return p, nil
}

// onLockedThread runs f on a thread that no other goroutine can end meanwhile.
func onLockedThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// awaitReady returns once the server takes connections, after crash recovery if
// there is any. When the server exits first, the error quotes its log's tail.
func (p *process) awaitReady(ctx context.Context) error {
	select {
	case <-p.log.ready:
		return nil
	case <-p.exited:
		return fmt.Errorf("the server did not start: %v; its log ends:\n%s", p.err, p.log.tail())
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("the server was not ready in time: %w; its log ends:\n%s", context.Cause(ctx), p.log.tail())
	}
}

// stop sends the signal and waits for the exit. When ctx ends first, it goes on
// to the next harder way, so that no server is ever left behind.
func (p *process) stop(ctx context.Context, sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // fails only when it has exited
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
	}
}

// kill ends the server at once. The postmaster gives its children 5 seconds after
// SIGQUIT, so one that takes longer is stuck.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(signalImmediate)
	stuck := time.AfterFunc(dyingServerPatience, func() { _ = p.cmd.Process.Kill() })
	defer stuck.Stop()
	<-p.exited
}

// serverLog receives what the server prints: into its file, to the caller's sink,
// and past the eye that waits for readiness.
type serverLog struct {
	ready chan struct{} // closed when readyLine has been seen

	mu   sync.Mutex // guards what follows
	file *os.File
	sink io.Writer
	last []byte // the newest tailSize bytes or more
	seen bool
}

// openServerLog keeps one older log, so that a crash's messages outlive the restart.
func openServerLog(path string, sink io.Writer) (*serverLog, error) {
	_ = os.Rename(path, path+".1") // there is none at the first start
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	return &serverLog{ready: make(chan struct{}), file: file, sink: sink}, nil
}

// Write never fails: a full disk or a broken sink must not stop the server.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.file.Write(p)
	if l.sink != nil {
		_, _ = l.sink.Write(p)
	}
	l.last = append(l.last, p...)
	if !l.seen && bytes.Contains(l.last, readyLine) {
		l.seen = true
		close(l.ready)
	}
	if len(l.last) > 2*tailSize {
		l.last = append(l.last[:0], l.last[len(l.last)-tailSize:]...)
	}
	return len(p), nil
}

func (l *serverLog) tail() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.TrimSpace(l.last[max(0, len(l.last)-tailSize):])
}

func (l *serverLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}
