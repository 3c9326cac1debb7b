// Package migrations holds the database schema as ordered goose files, embedded
// so that every binary carries the schema it was built for.
package migrations

import "embed"

// FS holds the migration files at its root, named NNNNN_purpose.sql.
//
//go:embed *.sql
var FS embed.FS
