package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3/lock"
)

// Keys of the advisory locks, which are the database's own: "penstock" in ASCII,
// folded to one number, and its neighbour.
const (
	migrateLockKey int64 = 0x70656E73746F636B
	prepareLockKey int64 = migrateLockKey + 1
)

// sessionLocker lets one migrator at a time through, by an advisory lock of its
// session that it tries for and never waits for inside Postgres. A waiting
// pg_advisory_lock holds a snapshot, for which CREATE INDEX CONCURRENTLY in the
// migrator ahead waits: a deadlock. A try that failed holds nothing.
//
// Goose has two lockers of its own. Its session locker does the same, but tries
// once a second, counts its tries over all uses together, and behind a pooler in
// transaction mode spends a minute on an unlock that cannot succeed. Its table
// locker is a lease by time: a killed migrator keeps others out until it lapses,
// and one stopped for longer than that wakes beside its successor. A session's
// lock ends exactly when the session does.
//
// Behind a pooler in transaction mode the lock protects nothing; the version
// table's unique key then still refuses a second run of one migration, and the
// unlock says what is wrong.
type sessionLocker struct{}

var _ lock.SessionLocker = (*sessionLocker)(nil)

// SessionLock also gives the session its lock_timeout, which SessionUnlock takes
// back: the connection is the pool's.
func (l *sessionLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for {
		var ours bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", migrateLockKey).Scan(&ours); err != nil {
			return fmt.Errorf("lock out other migrators: %w", err)
		}
		if ours {
			break
		}
		if err := pause(ctx, 20*time.Millisecond+rand.N(60*time.Millisecond)); err != nil {
			return fmt.Errorf("wait for another migrator: %w", err)
		}
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET lock_timeout = %d", migrationLockTimeout.Milliseconds())); err != nil {
		return errors.Join(fmt.Errorf("set lock_timeout: %w", err), l.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	return nil
}

func (l *sessionLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "RESET lock_timeout"); err != nil {
		return fmt.Errorf("let other migrators in: %w", err)
	}
	var ours bool
	if err := conn.QueryRowContext(ctx, "SELECT pg_advisory_unlock($1)", migrateLockKey).Scan(&ours); err != nil {
		return fmt.Errorf("let other migrators in: %w", err)
	}
	if !ours {
		return errors.New("the migration lock was not this session's any more: a connection pooler in transaction mode is in between; " +
			"migrate over a direct connection or a pooler in session mode")
	}
	return nil
}
