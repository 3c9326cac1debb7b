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

// Enabled tells whether this build has failpoints.
const Enabled = true

// Wrap returns d with calls that fail by chance.
func Wrap(d db.DBTX) db.DBTX {
	if chance.oneIn == 0 {
		return d
	}
	return faulty{d}
}

var chance = readChance(os.Getenv(Variable))

// dice decides which calls fail, and how.
type dice struct {
	oneIn int

	mu  sync.Mutex
	rng *rand.Rand
}

func readChance(text string) *dice {
	seed, calls, _ := strings.Cut(text, ":")
	s, _ := strconv.ParseUint(seed, 10, 64)
	n, _ := strconv.Atoi(calls) // nothing, or nonsense: none fails
	return &dice{oneIn: n, rng: rand.New(rand.NewPCG(s, uint64(os.Getpid())))}
}

type fate int

const (
	passes fate = iota
	failsBefore
	failsAfter
	comesLate
	crashesBefore
	crashesAfter
)

func (d *dice) draw() fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rng.IntN(d.oneIn) > 0 {
		return passes
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

// notSent is a failure that happened before anything was sent, and says so.
type notSent struct{ error }

func (notSent) SafeToRetry() bool { return true }

var (
	errBefore = notSent{errors.New("failpoint: the call was not sent")}
	errAfter  = errors.New("failpoint: the reply was lost")
)

// around carries a call out as fate has it.
func around(call func()) error {
	f := chance.draw()
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
	if lost := around(func() { tag, err = f.DBTX.Exec(ctx, sql, args...) }); lost != nil {
		return pgconn.CommandTag{}, lost
	}
	return tag, err
}

// Query reads the answer to its end where it is then lost: before that, the statement
// may not have been carried out.
func (f faulty) Query(ctx context.Context, sql string, args ...any) (rows pgx.Rows, err error) {
	if lost := around(func() { rows, err = f.DBTX.Query(ctx, sql, args...) }); lost != nil {
		if rows != nil {
			rows.Close()
		}
		return nil, lost
	}
	return rows, err
}

func (f faulty) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return rowFunc(func(dest ...any) (err error) {
		if lost := around(func() { err = f.DBTX.QueryRow(ctx, sql, args...).Scan(dest...) }); lost != nil {
			return lost
		}
		return err
	})
}

type rowFunc func(dest ...any) error

func (r rowFunc) Scan(dest ...any) error { return r(dest...) }

func (f faulty) SendBatch(ctx context.Context, b *pgx.Batch) (results pgx.BatchResults) {
	if lost := around(func() { results = f.DBTX.SendBatch(ctx, b) }); lost != nil {
		if results != nil {
			_ = results.Close() // carried out, and nobody hears of it
		}
		return lostBatch{err: lost}
	}
	return results
}

type lostBatch struct {
	pgx.BatchResults // nil: the queries call no other methods
	err              error
}

func (l lostBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, l.err }
func (l lostBatch) Query() (pgx.Rows, error)         { return nil, l.err }
func (l lostBatch) QueryRow() pgx.Row                { return rowFunc(func(...any) error { return l.err }) }
func (l lostBatch) Close() error                     { return l.err }
