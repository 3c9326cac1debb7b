package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// rootDir is where root keeps clusters: /root is closed to the user that the
// server runs as.
const rootDir = "/var/lib/penstock"

// directory is one cluster's home. Below path:
//
//	lock         held while a Server lives; says who holds it and at which URL
//	data         PGDATA, made as data.new and renamed, so it is whole or absent
//	server.log   the server's messages since its last start; .1 has the one before
//	socket       the Unix socket's directory, unless its path would be too long
type directory struct {
	path    string
	account account
	lock    *os.File
}

func (d directory) data() string      { return filepath.Join(d.path, "data") }
func (d directory) serverLog() string { return filepath.Join(d.path, "server.log") }
func (d directory) lockPath() string  { return filepath.Join(d.path, "lock") }

// DefaultDir is where `penstock serve` keeps its data: /var/lib/penstock/postgres
// for root, else below the user's data directory.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return filepath.Join(rootDir, "postgres"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "penstock", "postgres"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the server's data: %w", err)
	}
	return filepath.Join(home, ".local", "share", "penstock", "postgres"), nil
}

// openDirectory makes the directory if need be, proves that the account can use
// it, and locks it. Errors: ErrDirectory, ErrInUse.
func openDirectory(path string, a account) (directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return directory{}, fmt.Errorf("find the server's directory: %w", err)
	}
	d := directory{path: path, account: a}
	if err := d.make(); err != nil {
		return directory{}, err
	}
	return d, d.takeLock()
}

func (d directory) make() error {
	refuse := func(err error) error {
		return fmt.Errorf("%w: %w: choose another directory or make this one writable by %s", ErrDirectory, err, d.account.name)
	}
	if _, err := os.Stat(filepath.Dir(d.path)); errors.Is(err, fs.ErrNotExist) {
		// 0755, whatever the umask: the account must be able to pass through.
		if err := os.MkdirAll(filepath.Dir(d.path), 0o755); err != nil {
			return refuse(err)
		}
		if err := os.Chmod(filepath.Dir(d.path), 0o755); err != nil {
			return refuse(err)
		}
	}
	if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return refuse(err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return refuse(err)
	}
	if len(entries) == 0 {
		if err := d.account.give(d.path); err != nil {
			return refuse(err)
		}
	}
	for _, path := range []string{d.path, d.data()} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return refuse(err)
		}
		if !d.account.owns(info) {
			return fmt.Errorf("%w: %s belongs to another user than %s, whom the server runs as: choose another directory, or run `chown -R %s %s`",
				ErrDirectory, path, d.account.name, strings.TrimPrefix(d.account.name, "user "), d.path)
		}
	}
	return nil
}

func (d *directory) takeLock() error {
	f, err := os.OpenFile(d.lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w: make it writable by the user who runs penstock", ErrDirectory, err)
	}
	free, err := lockFile(f)
	if err == nil && free {
		d.lock = f
		return d.note("")
	}
	defer f.Close()
	if err != nil {
		return fmt.Errorf("lock %s: %w", d.lockPath(), err)
	}
	pid, url := readNote(f)
	return fmt.Errorf("%w: process %d runs PostgreSQL on %s: stop it, choose another directory, or use its server: DATABASE_URL='%s'",
		ErrInUse, pid, d.path, url)
}

// note writes into the lock file who holds it and where the server answers.
func (d directory) note(url string) error {
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("write %s: %w", d.lockPath(), err)
	}
	if _, err := d.lock.WriteAt(fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), url), 0); err != nil {
		return fmt.Errorf("write %s: %w", d.lockPath(), err)
	}
	return nil
}

// readNote returns zero values for a file that holds no note yet.
func readNote(r io.Reader) (pid int, url string) {
	text, _ := io.ReadAll(r) // unreadable is as good as unwritten
	first, rest, _ := strings.Cut(string(text), "\n")
	pid, _ = strconv.Atoi(first)
	return pid, strings.TrimSpace(rest)
}

// major reads which major version wrote the data; 0 means there is none yet.
func (d directory) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(d.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.data()); err == nil {
			return 0, fmt.Errorf("%w: %s has no PG_VERSION, so it is not a PostgreSQL cluster: move it away", ErrDirectory, d.data())
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%w: %s/PG_VERSION says %q: move the directory away", ErrDirectory, d.data(), text)
	}
	return major, nil
}

// initialize makes the cluster, about half a second.
func (d directory) initialize(ctx context.Context, b binaries, durable bool) error {
	fresh := d.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil { // left by an initdb that was killed
		return fmt.Errorf("remove %s: %w", fresh, err)
	}
	out, err := d.initdb(ctx, b, durable, fresh, "--locale=C.UTF-8")
	if err != nil && bytes.Contains(out, []byte("invalid locale name")) {
		// Older macOS has no C.UTF-8. C sorts the same bytes the same way.
		out, err = d.initdb(ctx, b, durable, fresh, "--locale=C")
	}
	if err != nil {
		return fmt.Errorf("initdb in %s: %w%s\n%s", d.path, err, d.accessHint(err, out), bytes.TrimSpace(out))
	}
	if err := os.Rename(fresh, d.data()); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return nil
}

// initdb trusts every local user because the socket's directory is closed to
// all but the server's user and root.
func (d directory) initdb(ctx context.Context, b binaries, durable bool, dir, locale string) ([]byte, error) {
	args := []string{"-D", dir, "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-instructions", locale}
	if !durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, b.path("initdb"), args...)
	cmd.Dir, cmd.Env = d.path, serverEnv()
	d.account.prepare(cmd)
	var out []byte
	err := onLockedThread(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}

// accessHint explains a refusal that root does not expect to meet.
func (d directory) accessHint(err error, output []byte) string {
	denied := errors.Is(err, fs.ErrPermission) || bytes.Contains(output, []byte("Permission denied"))
	if !d.account.switches || !denied {
		return ""
	}
	return fmt.Sprintf(" (the server runs as user %s, who must be able to reach the directory: choose one below %s)", d.account.name, rootDir)
}

// socketDir makes the directory for the socket. Where the cluster's own path is
// too long for a socket, it is a short one below /tmp, which Stop removes.
func (d directory) socketDir() (dir string, short bool, err error) {
	dir = filepath.Join(d.path, "socket")
	if len(socketPath(dir)) > maxSocketPath {
		short = true
		dir, err = os.MkdirTemp("/tmp", "penstock-")
	} else if err = os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		err = d.account.give(dir)
	}
	if err != nil {
		return "", false, fmt.Errorf("%w: make the socket's directory: %w", ErrDirectory, err)
	}
	return dir, short, nil
}

func socketPath(dir string) string { return filepath.Join(dir, ".s.PGSQL.5432") }

// serverEnv keeps PGDATA, PGPORT and their like away from the server. LC_ALL is
// there because PostgreSQL on macOS refuses to start without a valid locale.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
