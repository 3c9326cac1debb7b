package postgres

import (
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

func TestOpenNamesItsConnectionsUnlessTheURLDoes(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t)
	require.Equal(t, "penstock", query[string](t, pool, "SHOW application_name"))

	named, err := Open(t.Context(), testServer.URL("postgres")+"&application_name=mine")
	require.NoError(t, err)
	defer named.Close()
	require.Equal(t, "mine", query[string](t, named, "SHOW application_name"))
}

func TestOpenFailsAtOnceWhereNothingAnswers(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), socketURL(t.TempDir(), "postgres"))
	require.ErrorContains(t, err, "connect to Postgres")
}

// oldServer answers one connection as a PostgreSQL 14 would, and gives its URL.
func oldServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		backend := pgproto3.NewBackend(conn, conn)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			return
		}
		backend.Send(&pgproto3.AuthenticationOk{})
		backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "14.19 (Debian 14.19-1)"})
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if backend.Flush() == nil {
			_, _ = backend.Receive() // until the client hangs up
		}
	}()
	return "postgres://nobody@" + listener.Addr().String() + "/old?sslmode=disable"
}

func TestOpenRefusesAServerOlderThanTheSchemaNeeds(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), oldServer(t))
	require.ErrorIs(t, err, ErrTooOld)
	require.ErrorContains(t, err, "14.19")
}

func TestResolveTakesTheURLThenTheEnvironmentThenAServerOfItsOwn(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://from.environment/jobs")
	d, err := Resolve(t.Context(), "postgres://given/jobs", Options{})
	require.NoError(t, err)
	require.Equal(t, "postgres://given/jobs", d.URL)

	d, err = Resolve(t.Context(), "", Options{})
	require.NoError(t, err)
	require.Equal(t, "postgres://from.environment/jobs", d.URL)
	require.NoError(t, d.Close(t.Context()), "a server that is not ours is left alone")

	require.NoError(t, os.Unsetenv("DATABASE_URL"))
	_, err = Resolve(t.Context(), "", Options{Binaries: t.TempDir(), Temporary: true})
	require.ErrorIs(t, err, ErrNoBinaries)
	require.ErrorContains(t, err, "DATABASE_URL is not set")
}

func TestOtherProcessesAttachToTheServerThatResolveStarted(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	dir := newDir(t)
	_, err := Attach(dir)
	require.ErrorIs(t, err, ErrNotRunning)
	require.ErrorContains(t, err, "penstock serve")

	for range 2 { // the second finds the database that the first made
		d, err := Resolve(t.Context(), "", Options{Dir: dir})
		require.NoError(t, err)
		url, err := Attach(dir)
		require.NoError(t, err)
		require.Equal(t, d.URL, url)
		require.Equal(t, databaseName, query[string](t, connect(t, url), "SELECT current_database()"))
		require.NoError(t, d.Close(t.Context()))

		_, err = Attach(dir)
		require.ErrorIs(t, err, ErrNotRunning)
	}
}
