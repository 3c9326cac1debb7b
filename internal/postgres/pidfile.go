package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// dyingServerPatience covers a server whose process was killed a moment ago: an
// immediate shutdown kills its last children after 5 seconds.
const dyingServerPatience = 6 * time.Second

// readPIDFile returns the process that postmaster.pid names. Errors: fs.ErrNotExist
// when no server ran, or the last one stopped cleanly.
func readPIDFile(data string) (int, error) {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%w: %s is damaged: check that no PostgreSQL runs on this directory, then run `rm %s`", ErrStalePID, path, path)
	}
	return pid, nil
}

// checkPIDFile says whether a server may be started on the data. A pid file whose
// process is gone is PostgreSQL's to clean up. One whose process is something else
// is the operator's: PostgreSQL would refuse to start, and to delete the file where
// a server does run (in another container, say) would corrupt the data.
// Errors: ErrInUse, ErrStalePID.
func checkPIDFile(ctx context.Context, data, socketDir string) error {
	pid, err := readPIDFile(data)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !alive(pid) {
		return nil
	}
	if err != nil {
		return err
	}
	if command := commandOf(pid); !isServer(pid, command, data) {
		path := filepath.Join(data, "postmaster.pid")
		return fmt.Errorf("%w: the server crashed and process %d is now %q: check that no PostgreSQL runs on this directory, then run `rm %s`",
			ErrStalePID, pid, command, path)
	}
	if answers(ctx, socketDir) || !awaitExit(ctx, pid) {
		return fmt.Errorf("%w: PostgreSQL runs on %s as process %d, which this program did not start: stop it with `kill -INT %d`, or choose another directory",
			ErrInUse, data, pid, pid)
	}
	return nil
}

// isServer reports whether pid may be a server on this data. What the system does
// not tell counts as yes, the safe answer.
func isServer(pid int, command, data string) bool {
	if command != "" && !strings.Contains(filepath.Base(command), "postgres") {
		return false
	}
	cwd := workingDir(pid) // a server's is its data directory
	return cwd == "" || cwd == data || sameFile(cwd, data)
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// answers reports whether a server at the socket takes new connections, which one
// that is shutting down does not.
func answers(ctx context.Context, socketDir string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, socketURL(socketDir, "postgres"))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// awaitExit polls because the process is not our child: nothing tells us of its end.
func awaitExit(ctx context.Context, pid int) bool {
	ctx, cancel := context.WithTimeout(ctx, dyingServerPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
