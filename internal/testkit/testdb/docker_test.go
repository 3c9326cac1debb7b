package testdb

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/postgres"
)

func hash(t *testing.T, name, content string) string {
	t.Helper()
	h, err := hashOf(fstest.MapFS{name: {Data: []byte(content)}})
	require.NoError(t, err)
	return h
}

// fakeDocker puts a docker command on PATH that publishes what the file address
// in dir has, and that runs a script for `docker run`.
func fakeDocker(t *testing.T, run string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := "#!/bin/sh\ncd '" + dir + "'\ncase $1 in\nversion) ;;\nport) cat address ;;\nrun) " + run + " ;;\nesac\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// listen forwards TCP connections to a server's socket and returns the address.
func listen(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			conns.Go(func() { _, _ = io.Copy(server, client); server.Close() })
			conns.Go(func() { _, _ = io.Copy(client, server); client.Close() })
		}
	})
	return l.Addr().String()
}

func TestWithoutBinariesDockerIsUsedAndItsContainerEndsWithItsInput(t *testing.T) {
	pool := connect(t)
	socket := query[string](t, pool, "SELECT trim(both '\"' from current_setting('unix_socket_directories'))")
	dir := fakeDocker(t, `echo "$@" >args; cat >/dev/null; touch ended`)
	address := listen(t, filepath.Join(socket, ".s.PGSQL.5432"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "address"), []byte(address+"\n[::]:1\n"), 0o600))

	url, stop, err := startFrom(t.Context(), postgres.Options{Temporary: true, Binaries: t.TempDir()})
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	args, err := os.ReadFile(filepath.Join(dir, "args"))
	require.NoError(t, err)
	require.Contains(t, string(args), "run --rm --interactive --name penstock-test-")
	require.Contains(t, string(args), image+" sh -c docker-entrypoint.sh postgres")

	require.NoFileExists(t, filepath.Join(dir, "ended"))
	require.NoError(t, stop(t.Context()))
	require.FileExists(t, filepath.Join(dir, "ended"))
}

func TestAContainerThatDoesNotStartIsAnErrorWithDockersWords(t *testing.T) {
	fakeDocker(t, `echo "pull access denied" >&2; exit 125`)
	_, _, err := startFrom(t.Context(), postgres.Options{Temporary: true, Binaries: t.TempDir()})
	require.ErrorIs(t, err, postgres.ErrNoBinaries)
	require.ErrorContains(t, err, "docker run ended: pull access denied")
}
