package postgres

import "errors"

// Every error below reaches callers wrapped with the directory or version it is
// about and with the command that mends it; match them with errors.Is.
var (
	// ErrNoBinaries: this machine has no PostgreSQL server that Start can use.
	ErrNoBinaries = errors.New("no usable PostgreSQL server is installed")
	// ErrInUse: a live server already runs on the directory. Stop it or connect to it.
	ErrInUse = errors.New("the directory already has a running server")
	// ErrNotRunning: Attach found no live embedded server.
	ErrNotRunning = errors.New("no embedded server is running")
	// ErrStalePID: postmaster.pid names a process that is not this cluster's server.
	ErrStalePID = errors.New("postmaster.pid is stale")
	// ErrOtherMajor: the data was written by a major version that is not installed.
	ErrOtherMajor = errors.New("the data belongs to another PostgreSQL major version")
	// ErrDirectory: the directory may not be written, belongs to someone else, or
	// holds something that is not a PostgreSQL cluster.
	ErrDirectory = errors.New("the directory cannot hold the server's data")
	// ErrTooOld: the server that answered is older than PostgreSQL 15.
	ErrTooOld = errors.New("PostgreSQL is too old")

	// ErrSchemaOld: the database lacks migrations that this binary needs.
	// Run `penstock migrate up`.
	ErrSchemaOld = errors.New("the database schema is older than this binary needs")
	// ErrSchemaNew: the database no longer serves binaries this old. Upgrade the binary.
	ErrSchemaNew = errors.New("the database schema no longer serves this binary")
	// ErrLocked: a migration gave up waiting for another session's lock.
	ErrLocked = errors.New("another session holds a lock that the migration needs")
)
