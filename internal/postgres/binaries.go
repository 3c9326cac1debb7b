package postgres

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestMajor is the oldest PostgreSQL that Penstock's schema runs on.
const oldestMajor = 15

// installHint ends every error that an installation would mend.
const installHint = `install PostgreSQL 15 or later:
    Debian, Ubuntu:  sudo apt-get install postgresql   (scripts/prepare does it without creating a system cluster)
    macOS:           brew install postgresql@17
or point DATABASE_URL at a server you have`

// binaryPlaces are searched after PATH, newest version first.
var binaryPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries is one installation that has both postgres and initdb.
type binaries struct {
	dir     string // holds postgres and initdb
	version string // as `postgres --version` prints it, such as "15.18"
	major   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// findBinaries returns the first installation of the wanted major version, or,
// when major is 0, the first that is not too old. dir, if given, is the only
// place looked at. Errors: ErrNoBinaries; ErrOtherMajor when only other majors
// are installed.
func findBinaries(dir string, major int) (binaries, error) {
	dirs := []string{dir}
	if dir == "" {
		dirs = binaryDirs()
	}
	var found []string
	for _, d := range dirs {
		b, err := inspectBinaries(d)
		if err != nil {
			continue
		}
		if b.major == major || major == 0 && b.major >= oldestMajor {
			return b, nil
		}
		found = append(found, b.version+" in "+b.dir)
	}
	switch {
	case len(found) == 0:
		return binaries{}, fmt.Errorf("%w (looked in %s): %s", ErrNoBinaries, strings.Join(dirs, ", "), installHint)
	case major == 0:
		return binaries{}, fmt.Errorf("%w: found only %s: %s", ErrNoBinaries, strings.Join(found, ", "), installHint)
	default:
		return binaries{}, fmt.Errorf("%w: it was written by PostgreSQL %d, installed is %s", ErrOtherMajor, major, strings.Join(found, ", "))
	}
}

// binaryDirs lists the directories that may hold a server: PATH's own first,
// then the known places, newest version first.
func binaryDirs() []string {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		// initdb must come from the same installation, which a link in PATH may hide.
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	var known []string
	for _, pattern := range binaryPlaces {
		matches, _ := filepath.Glob(pattern) // fails only for a malformed pattern
		known = append(known, matches...)
	}
	slices.SortStableFunc(known, func(a, b string) int {
		return cmp.Compare(versionInPath(b), versionInPath(a))
	})
	for _, d := range known {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

var (
	firstNumber = regexp.MustCompile(`\d+`)
	lastNumber  = regexp.MustCompile(`(\d+)\D*$`)
)

func versionInPath(dir string) int {
	parts := lastNumber.FindStringSubmatch(dir)
	if parts == nil {
		return 0 // sorts last
	}
	n, _ := strconv.Atoi(parts[1]) // digits
	return n
}

// inspectBinaries asks the postgres in dir for its version.
func inspectBinaries(dir string) (binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, err
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("ask postgres for its version: %w", err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-1)", or "… 19beta1".
	_, rest, _ := strings.Cut(string(out), "(PostgreSQL) ")
	version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	major, err := strconv.Atoi(firstNumber.FindString(version))
	if err != nil {
		return binaries{}, fmt.Errorf("read the version of %s from %q", dir, out)
	}
	return binaries{dir: dir, version: version, major: major}, nil
}
