package testdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"

	"github.com/penstock/penstock/internal/postgres"
)

// ServerVar names the environment variable with the URL of a private server that
// several test binaries share. Whoever set it ends the server afterwards.
const ServerVar = "PENSTOCK_TEST_SERVER"

// maxConnections is enough for the tests of several packages at once, whose pools hold
// up to ten connections each.
const maxConnections = "500"

// server is where databases are made.
type server struct {
	url  string // of a database that is not ours to touch
	ours bool   // a private server without fsync, which ends after the tests
	stop StopFunc
}

// StopFunc ends what was started.
type StopFunc func(context.Context) error

// find takes the server of DATABASE_URL, else the one of ServerVar, else starts one.
func find(ctx context.Context) (server, error) {
	if given := os.Getenv("DATABASE_URL"); given != "" {
		return server{url: given}, nil
	}
	if shared := os.Getenv(ServerVar); shared != "" {
		return server{url: shared, ours: true}, nil
	}
	url, stop, err := Start(ctx)
	return server{url, true, stop}, err
}

// Start runs a private server for tests: from installed binaries, else in Docker. It
// ends with stop, or with this process, however that ends. Without binaries and Docker
// the error says what to install.
func Start(ctx context.Context) (url string, stop StopFunc, err error) {
	return startFrom(ctx, postgres.Options{
		Temporary: true, Parent: postgres.InMemory(),
		Settings: map[string]string{"max_connections": maxConnections, "max_wal_size": "512MB"},
	})
}

func startFrom(ctx context.Context, opts postgres.Options) (string, StopFunc, error) {
	s, err := postgres.Start(ctx, opts)
	if errors.Is(err, postgres.ErrNoBinaries) {
		url, stop, dockerErr := startContainer(ctx)
		if dockerErr != nil {
			return "", nil, fmt.Errorf("tests need PostgreSQL: %w\nor start Docker (%w)", err, dockerErr)
		}
		return url, stop, nil
	}
	if err != nil {
		return "", nil, err
	}
	unwatch, err := watch(s)
	if err != nil {
		return "", nil, errors.Join(err, s.Stop(ctx))
	}
	return s.URL("postgres"), func(ctx context.Context) error { return errors.Join(s.Stop(ctx), unwatch()) }, nil
}

// watch starts a process that waits for this one to end, by the end of its input, and
// then stops the server and removes its files. It serves test binaries that are killed
// or never call Close. On Linux the kernel has stopped the server by then. Only a
// process that postmaster.pid still names is signalled.
func watch(s *postgres.Server) (unwatch func() error, err error) {
	const wait = `trap "" INT TERM HUP
cat >/dev/null
[ "$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)" = "$1" ] && kill -QUIT "$1" 2>/dev/null
n=0
while [ -e "$2/data/postmaster.pid" ] && kill -0 "$1" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -rf "$2" "$3"`
	address, err := url.Parse(s.URL("postgres"))
	if err != nil {
		return nil, err
	}
	watcher := exec.Command("sh", "-c", wait, "sh",
		strconv.Itoa(s.PID()), s.Dir(), address.Query().Get("host")) // the socket may be elsewhere
	var lifeline io.WriteCloser
	if lifeline, err = watcher.StdinPipe(); err == nil {
		err = watcher.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("watch the test server: %w", err)
	}
	return func() error { return errors.Join(lifeline.Close(), watcher.Wait()) }, nil
}
