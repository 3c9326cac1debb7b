// Package postgres connects Penstock to PostgreSQL: it opens pools, starts the
// private server that `penstock serve` and the tests use when no DATABASE_URL is
// given, and migrates the schema.
//
// Start owns everything below Options.Dir and holds a file lock there for as long
// as the Server lives, so two processes never run one cluster. The server listens
// on a Unix socket only. On Linux it dies with this process, however that ends;
// durable clusters recover at the next Start, temporary ones are swept away by it.
//
// Migrator changes the schema; Check tells a binary whether the schema it meets
// is one it can serve. Neither is needed on the path of a job.
package postgres
