// Package migrations holds the database schema as ordered goose files, embedded
// so that every binary carries the schema it was built for.
//
// Above its "-- +goose Up" each file states the oldest binary that may go on
// working once it is applied, and the release that brought that binary:
//
//	-- penstock: serves binaries from schema 7 (v0.3.0)
//
// A binary's schema is the number of the newest file it was built with. A file
// that only adds repeats the line of the file before it; one that takes away or
// changes what older binaries use raises the number, in the earliest case to its
// own. The line is recorded when the file is applied, and binaries check it when
// they start.
//
// The schema penstock and its table schema_migrations exist before the first file
// runs and outlive the last Down: no file creates or drops them. A statement waits
// 100 ms for a lock; then its file's transaction is rolled back and tried again. A
// file that says "-- +goose NO TRANSACTION", for CREATE INDEX CONCURRENTLY, has no
// such second chance, so it must be safe to repeat from its first line, and it
// brackets what waits for old snapshots:
//
//	SET lock_timeout = 0;
//	DROP INDEX CONCURRENTLY IF EXISTS penstock.name;
//	CREATE INDEX CONCURRENTLY name ON penstock.some_table (some_column);
//	SET lock_timeout = 100;
package migrations

import "embed"

// FS holds the migration files at its root, named NNNNN_purpose.sql.
//
//go:embed *.sql
var FS embed.FS
