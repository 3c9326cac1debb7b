package postgres

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/penstock/penstock/migrations"
)

// SQL is the script, for psql, that an operator runs by hand instead of Migrator
// to bring a database from one schema version to another, up or down. It records
// the versions as Migrator would. Errors: a version that this binary does not know.
func SQL(from, to int64) (string, error) { return migrationSQL(migrations.FS, from, to) }

func migrationSQL(files fs.FS, from, to int64) (string, error) {
	known, err := readMigrations(files)
	if err != nil {
		return "", err
	}
	for _, v := range []int64{from, to} {
		if v != 0 && !slices.ContainsFunc(known, func(m migration) bool { return m.version == v }) {
			return "", fmt.Errorf("print the migrations: there is no version %d; see `penstock migrate status`", v)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Penstock's schema from version %d to %d, for psql. Run it where nothing else migrates;\n", from, to)
	fmt.Fprintf(&b, "-- a statement that cannot have its lock within %s fails and may be run again.\n\\set ON_ERROR_STOP on\n", migrationLockTimeout)
	if from > to {
		slices.Reverse(known)
	} else {
		fmt.Fprintf(&b, "\nBEGIN;%sCOMMIT;\n", versionTableSQL)
	}
	for _, m := range known {
		if up := from < m.version && m.version <= to; up || to < m.version && m.version <= from {
			m.script(&b, up)
		}
	}
	return b.String(), nil
}

// script prints one migration. Down needs no header, only the row's end.
func (m migration) script(b *strings.Builder, up bool) {
	body, record := m.up(), fmt.Sprintf(
		"INSERT INTO %s (version_id, oldest_binary, oldest_release) VALUES (%d, %d, '%s');\n",
		versionTable, m.version, m.serves.oldestBinary, m.serves.oldestRelease)
	if !up {
		body, record = m.down(), fmt.Sprintf("DELETE FROM %s WHERE version_id = %d;\n", versionTable, m.version)
	}
	fmt.Fprintf(b, "\n-- %s\n", m.name)
	if strings.Contains(m.text, "-- +goose NO TRANSACTION") {
		b.WriteString(body + record)
		return
	}
	fmt.Fprintf(b, "BEGIN;\nSET LOCAL lock_timeout = %d;\n%s%sCOMMIT;\n", migrationLockTimeout.Milliseconds(), body, record)
}

func (m migration) up() string {
	switch {
	case !m.stamp.is:
		return m.section("Up")
	case len(m.stamp.objects) > 0:
		return migrations.Script(m.stamp.objects, m.version)
	}
	return "-- A newer stamp applies the functions.\n"
}

func (m migration) down() string {
	switch {
	case !m.stamp.is:
		return m.section("Down")
	case m.stamp.first:
		return migrations.RemoveScript()
	}
	return "-- The functions stay; `penstock migrate functions` of an older binary brings its own.\n"
}

// section is the text below "-- +goose name", without goose's own lines. psql finds
// the ends of $$ bodies by itself.
func (m migration) section(name string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(m.text) {
		switch note := strings.TrimSpace(line); {
		case note == "-- +goose Up" || note == "-- +goose Down":
			in = note == "-- +goose "+name
		case strings.HasPrefix(note, "-- +goose"):
		case in:
			b.WriteString(line)
		}
	}
	return strings.Trim(b.String(), "\n") + "\n"
}
