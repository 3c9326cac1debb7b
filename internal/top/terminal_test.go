package top

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// testTerminal is the program on a terminal of its own: keys go in, the screen is read.
type testTerminal struct {
	*testkit.DB
	client *penstock.Client
	screen *vt.Emulator
	drawn  sync.Mutex // held while the screen is written, or read whole
	keys   *io.PipeWriter
	done   chan error
	stop   context.CancelFunc

	mu    sync.Mutex
	away  bool // Postgres cannot be reached
	conns []net.Conn
}

// lineEnds is what a terminal's driver does to output: a line's end goes to the next
// line's beginning.
type lineEnds struct{ *testTerminal }

func (w lineEnds) Write(p []byte) (int, error) {
	w.drawn.Lock()
	defer w.drawn.Unlock()
	_, err := w.screen.Write(bytes.ReplaceAll(bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// dial is how the program reaches Postgres.
func (term *testTerminal) dial(ctx context.Context, network, address string) (net.Conn, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	if term.away {
		return nil, errors.New("connection refused")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		term.conns = append(term.conns, conn)
	}
	return conn, err
}

// cutOff breaks the program's connections and keeps it from making new ones, or lets
// it again.
func (term *testTerminal) cutOff(away bool) {
	term.mu.Lock()
	defer term.mu.Unlock()
	term.away = away
	for _, conn := range term.conns {
		_ = conn.Close()
	}
	term.conns = nil
}

// turnOn starts the program on a terminal of that size.
func turnOn(t *testing.T, d *testkit.DB, width, height int) *testTerminal {
	t.Helper()
	in, keys := io.Pipe()
	term := &testTerminal{DB: d, screen: vt.NewEmulator(width, height), keys: keys, done: make(chan error, 1)}
	cfg := d.Pool.Config()
	cfg.ConnConfig.DialFunc = term.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	term.client, err = penstock.NewClient(pool, penstock.Config{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	term.stop = stop
	go func() { _, _ = io.Copy(io.Discard, term.screen) }() // what a terminal answers to questions
	go func() {
		term.done <- Run(ctx, Options{
			Client: term.client.As("ada"), Where: "db.example/app", Every: 50 * time.Millisecond, HealthEvery: 50 * time.Millisecond, In: in, Out: lineEnds{term},
			Environ: []string{"TERM=xterm-256color"}, Width: width, Height: height,
		})
	}()
	t.Cleanup(func() {
		stop()
		_ = keys.Close()
		_ = term.screen.InputPipe().(io.Closer).Close() // ends the reader; Close would race with it
		pool.Close()
	})
	return term
}

func (term *testTerminal) text() string {
	term.drawn.Lock()
	defer term.drawn.Unlock()
	return term.screen.String()
}

func (term *testTerminal) press(t *testing.T, keys string) {
	t.Helper()
	_, err := io.WriteString(term.keys, keys)
	require.NoError(t, err)
}

// shows waits until the screen has every text and none of those after "not ".
func (term *testTerminal) shows(t *testing.T, texts ...string) {
	t.Helper()
	term.await(t, func(screen string) (missing string) {
		for _, text := range texts {
			if word, absent := strings.CutPrefix(text, "not "); strings.Contains(screen, word) == absent {
				missing = text
			}
		}
		return missing
	})
}

// showsLike waits until a part of one line of the screen matches.
func (term *testTerminal) showsLike(t *testing.T, pattern string) {
	t.Helper()
	like := regexp.MustCompile("(?m)" + pattern)
	term.await(t, func(screen string) string {
		if like.MatchString(screen) {
			return ""
		}
		return pattern
	})
}

// await waits until nothing is missing on the screen, which may be read while it is
// half drawn.
func (term *testTerminal) await(t *testing.T, missing func(screen string) string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		screen := term.text()
		what := missing(screen)
		if what == "" {
			return
		}
		select {
		case <-late:
			require.FailNow(t, "awaited in vain: "+what, "the screen:\n%s", screen)
		case <-time.After(10 * time.Millisecond): // the screen changes without telling
		}
	}
}

// ends waits for the program's end.
func (term *testTerminal) ends(t *testing.T) {
	t.Helper()
	select {
	case err := <-term.done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the program does not end")
	}
}
