package testdb

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/migrations"
)

// sharedPrefix starts the name of a template that all test binaries of one server share.
const sharedPrefix = "penstock_template_"

// makeTemplate migrates the database that Create copies. On a server of ours the
// template is shared by all test binaries. A prepared one, and one on a server of
// DATABASE_URL, is this run's alone and is dropped by Close.
func (s *Source) makeTemplate(ctx context.Context) error {
	if s.server.ours && len(s.Prepare) == 0 {
		return s.shareTemplate(ctx)
	}
	s.template = s.run + "_template"
	return s.migrateInto(ctx, s.template)
}

// shareTemplate uses the template of this schema, and makes it if no other test binary
// has. An advisory lock makes the others wait until it is complete. Its name has the
// hash of the schema's files, so binaries of two schemas never share one.
func (s *Source) shareTemplate(ctx context.Context) error {
	hash, err := hashOf(migrations.FS)
	if err != nil {
		return fmt.Errorf("hash the migrations: %w", err)
	}
	s.template = sharedPrefix + hash
	return pgx.BeginFunc(ctx, s.admin, func(tx pgx.Tx) error {
		var exists bool
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", s.template); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.template).Scan(&exists); err != nil || exists {
			return err
		}
		building := s.run + "_template" // renamed when complete: a killed binary leaves no half template
		if err := s.migrateInto(ctx, building); err != nil {
			return err
		}
		_, err := s.admin.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+s.template)
		return err
	})
}

// migrateInto makes a database with Penstock's schema and what Prepare adds. It leaves
// no connection, which a template must not have.
func (s *Source) migrateInto(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return fmt.Errorf("create a test database (the role of DATABASE_URL needs CREATEDB): %w", err)
	}
	url := withDatabase(s.server.url, name)
	if err := Migrate(ctx, url); err != nil {
		return fmt.Errorf("migrate the test database: %w", err)
	}
	for _, prepare := range s.Prepare {
		if err := prepare(ctx, url); err != nil {
			return fmt.Errorf("prepare the test database: %w", err)
		}
	}
	return nil
}

// Migrate brings a database to the schema of this binary and leaves no connection.
func Migrate(ctx context.Context, url string) error {
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = (postgres.Migrator{Pool: pool}).Up(ctx)
	return err
}

// hashOf is a short name for the names and contents of all files.
func hashOf(files fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		fmt.Fprintf(hash, "%s\x00%d\x00%s", path, len(content), content)
		return err
	})
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), err
}
