package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/penstock/penstock/migrations"
)

// goMigrations makes goose's migrations of the stamps. A stamp's text is what
// `penstock migrate sql` prints.
func goMigrations(known []migration) (all []*goose.Migration) {
	script := func(text string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return execScript(ctx, tx, text) }}
	}
	for _, m := range known {
		if m.stamp.is {
			all = append(all, goose.NewGoMigration(m.version, script(m.up()), script(m.down())))
		}
	}
	return all
}

// execScript sends all statements of text at once.
func execScript(ctx context.Context, tx *sql.Tx, text string) error {
	_, err := tx.ExecContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return err
}

// ObjectState is how a function, type or view of the database compares with this binary.
type ObjectState string

// The states of an object.
const (
	InStep        ObjectState = "in step"         // as this binary has it
	OtherVersion  ObjectState = "other version"   // of another release
	ChangedByHand ObjectState = "changed by hand" // not what a stamp applied
	Missing       ObjectState = "missing"         // it is not in the database
	Unknown       ObjectState = "unknown"         // another release applied it; this binary has none
)

// ObjectStatus is one function, type or view.
type ObjectStatus struct {
	Kind      string // function, type or view
	Signature string // penstock.claim(text,bigint)
	File      string // below migrations/
	State     ObjectState
	Stamp     int64      // that applied it; 0 when none did
	AppliedAt *time.Time // nil when none did
}

// Objects compares the database with the functions, types and views of this binary. It
// changes nothing and needs only SELECT on penstock.schema_objects. Views and types that
// were changed by hand are not recognised.
func (m Migrator) Objects(ctx context.Context) ([]ObjectStatus, error) {
	objects, err := migrations.Objects(m.files())
	if err != nil {
		return nil, err
	}
	found, err := readObjects(ctx, m.Pool)
	if err != nil && !isNoSchema(err) {
		return nil, fmt.Errorf("read the functions of the schema: %w", err)
	}
	var list []ObjectStatus
	for _, o := range objects {
		s := ObjectStatus{Kind: o.Kind, Signature: o.Signature, File: o.File, State: Missing}
		if f, ok := found[o.Signature]; ok {
			s.Stamp, s.AppliedAt, s.State = f.stamp, &f.appliedAt, f.state
			if f.state == InStep && f.hash != o.Hash {
				s.State = OtherVersion
			}
			delete(found, o.Signature)
		}
		list = append(list, s)
	}
	for signature, f := range found {
		list = append(list, ObjectStatus{f.kind, signature, f.file, Unknown, f.stamp, &f.appliedAt})
	}
	slices.SortFunc(list, func(a, b ObjectStatus) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Signature, b.Signature))
	})
	return list, nil
}

type foundObject struct {
	kind, file, hash string
	state            ObjectState // InStep, ChangedByHand or Missing
	stamp            int64
	appliedAt        time.Time
}

// readObjects compares what stamps recorded with the catalog. The path is set so that
// the catalog prints the schema of every type, as signatures have it.
func readObjects(ctx context.Context, pool *pgxpool.Pool) (found map[string]foundObject, err error) {
	const query = `SELECT o.signature, o.kind, o.file, o.hash, o.stamp, o.applied_at,
			CASE WHEN coalesce(p.oid, to_regclass(CASE WHEN o.kind <> 'function' THEN o.signature END)) IS NULL THEN 'missing'
				WHEN o.kind = 'function' AND o.definition <> ` + migrations.Digest + ` THEN 'changed by hand' ELSE 'in step' END
		FROM penstock.schema_objects o
		LEFT JOIN pg_proc p ON o.kind = 'function' AND p.pronamespace = 'penstock'::regnamespace AND p.oid::regprocedure::text = o.signature`
	found = map[string]foundObject{}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, query)
		if err != nil {
			return err
		}
		var signature string
		var f foundObject
		_, err = pgx.ForEachRow(rows, []any{&signature, &f.kind, &f.file, &f.hash, &f.stamp, &f.appliedAt, &f.state}, func() error {
			found[signature] = f
			return nil
		})
		return err
	})
	return found, err
}

// Functions brings the types, functions and views of the database to those of this
// binary, whatever release applied the present ones, and mends what was changed by
// hand. It is for going back to an older release: state stays as the newer one left
// it. It returns how many objects it replaced, made or dropped. Errors: as Up; ErrSchemaOld
// and ErrSchemaNew when the state does not fit this binary.
func (m Migrator) Functions(ctx context.Context) (changed int, err error) {
	known, err := readMigrations(m.files())
	if err != nil {
		return 0, err
	}
	newest := newestStamp(known)
	if newest == nil {
		return 0, errors.New("apply functions: this binary has none")
	}
	if err := checkState(ctx, m.Pool, known); err != nil {
		return 0, err
	}
	before, err := m.Objects(ctx)
	if err != nil {
		return 0, err
	}
	for _, o := range before {
		if o.State != InStep {
			changed++
		}
	}
	if err := m.apply(ctx, newest); err != nil {
		return 0, fmt.Errorf("apply functions: %w", err)
	}
	return changed, nil
}

// restamp applies the newest stamp again when the database has it from other files. That
// happens only while it is unreleased: a released stamp never changes. It returns the
// stamp's number, or 0 when there was nothing to do.
func (m Migrator) restamp(ctx context.Context) (int64, error) {
	known, err := readMigrations(m.files())
	if err != nil {
		return 0, err
	}
	newest := newestStamp(known)
	if newest == nil {
		return 0, nil
	}
	objects, err := m.Objects(ctx)
	if err != nil {
		return 0, err
	}
	stale := func(o ObjectStatus) bool {
		return o.Stamp == newest.version && (o.State == OtherVersion || o.State == Unknown)
	}
	if !slices.ContainsFunc(objects, stale) {
		return 0, nil
	}
	return newest.version, m.apply(ctx, newest)
}

func newestStamp(known []migration) *migration {
	for i := len(known) - 1; i >= 0; i-- {
		if known[i].stamp.is {
			return &known[i]
		}
	}
	return nil
}

// apply runs a stamp outside of goose, under the same lock.
func (m Migrator) apply(ctx context.Context, stamp *migration) error {
	db := stdlib.OpenDBFromPool(m.Pool)
	defer db.Close() // the database/sql face of the pool, not the pool
	return m.retryLocked(ctx, func() (err error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		locker := &sessionLocker{}
		if err := locker.SessionLock(ctx, conn); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, locker.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := execScript(ctx, tx, stamp.up()); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
}
