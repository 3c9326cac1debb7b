//go:build failpoint

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/db"
)

// Enabled reports whether this build has failpoints.
const Enabled = true

// Wrap returns d with calls that fail at random.
func Wrap(d db.DBTX) db.DBTX {
	if draws.oneIn == 0 {
		return d
	}
	return faulty{d}
}

var draws = readChance(os.Getenv(Variable))

// random decides which calls fail, and how.
type random struct {
	oneIn int

	mu  sync.Mutex
	rng *rand.Rand
}

func readChance(text string) *random {
	seed, calls, _ := strings.Cut(text, ":")
	s, _ := strconv.ParseUint(seed, 10, 64)
	n, _ := strconv.Atoi(calls) // empty or invalid: no call fails
	return &random{oneIn: n, rng: rand.New(rand.NewPCG(s, uint64(os.Getpid())))}
}

type outcome int

const (
	succeeds outcome = iota
	failsBefore
	failsAfter
	comesLate
	crashesBefore
	crashesAfter
)

func (d *random) draw() outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rng.IntN(d.oneIn) > 0 {
		return succeeds
	}
	switch n := d.rng.IntN(100); {
	case n < 35:
		return failsBefore
	case n < 70:
		return failsAfter
	case n < 95:
		return comesLate
	case n < 97:
		return crashesBefore
	}
	return crashesAfter
}

// notSent is a failure from before anything was sent; pgx may retry it.
type notSent struct{ error }

func (notSent) SafeToRetry() bool { return true }

var (
	errBefore = notSent{errors.New("failpoint: the call was not sent")}
	errAfter  = errors.New("failpoint: the reply was lost")
)

// inject runs a call with a randomly drawn outcome.
func inject(call func()) error {
	f := draws.draw()
	switch f {
	case failsBefore:
		return errBefore
	case comesLate:
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	case crashesBefore:
		crash()
	}
	call()
	switch f {
	case failsAfter:
		return errAfter
	case crashesAfter:
		crash()
	}
	return nil
}

func crash() {
	fmt.Fprintln(os.Stderr, "failpoint: crash")
	os.Exit(ExitCode)
}

type faulty struct{ db.DBTX }

func (f faulty) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if lost := inject(func() { tag, err = f.DBTX.Exec(ctx, sql, args...) }); lost != nil {
		return pgconn.CommandTag{}, lost
	}
	return tag, err
}

// Query reads a reply that is to be lost to its end; the statement may not have been
// executed before that.
func (f faulty) Query(ctx context.Context, sql string, args ...any) (rows pgx.Rows, err error) {
	if lost := inject(func() { rows, err = f.DBTX.Query(ctx, sql, args...) }); lost != nil {
		if rows != nil {
			rows.Close()
		}
		return nil, lost
	}
	return rows, err
}

func (f faulty) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return rowFunc(func(dest ...any) (err error) {
		if lost := inject(func() { err = f.DBTX.QueryRow(ctx, sql, args...).Scan(dest...) }); lost != nil {
			return lost
		}
		return err
	})
}

type rowFunc func(dest ...any) error

func (r rowFunc) Scan(dest ...any) error { return r(dest...) }

func (f faulty) SendBatch(ctx context.Context, b *pgx.Batch) (results pgx.BatchResults) {
	if lost := inject(func() { results = f.DBTX.SendBatch(ctx, b) }); lost != nil {
		if results != nil {
			_ = results.Close() // executed, but the caller gets an error
		}
		return failedBatch{err: lost}
	}
	return results
}

type failedBatch struct {
	pgx.BatchResults // nil: no other method is called
	err              error
}

func (l failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, l.err }
func (l failedBatch) Query() (pgx.Rows, error)         { return nil, l.err }
func (l failedBatch) QueryRow() pgx.Row                { return rowFunc(func(...any) error { return l.err }) }
func (l failedBatch) Close() error                     { return l.err }
