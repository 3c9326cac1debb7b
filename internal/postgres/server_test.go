package postgres

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestTheServerListensOnItsSocketOnlyAndSortsByBytes(t *testing.T) {
	conn := connect(t, testServer.URL("postgres"))
	require.Empty(t, query[string](t, conn, "SHOW listen_addresses"))
	require.Equal(t, "UTF8", query[string](t, conn, "SHOW server_encoding"))
	require.True(t, query[bool](t, conn, "SELECT 'B' < 'a' AND 'é' > 'z'"))
	require.Equal(t, "UTC", query[string](t, conn, "SHOW timezone"))

	info, err := os.Stat(testServer.socketDir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "every local user is trusted, so only ours may reach the socket")
}

func TestADurableServerKeepsItsDataAndEveryPromise(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	first := startIn(t, dir)
	conn := connect(t, first.URL("postgres"))
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		require.Equal(t, "on", query[string](t, conn, "SHOW "+setting), setting)
	}
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, first.Stop(t.Context()))

	second := startIn(t, dir)
	require.Equal(t, first.URL("postgres"), second.URL("postgres"))
	require.Equal(t, 42, query[int](t, connect(t, second.URL("postgres")), "SELECT answer FROM kept"))
}

func TestATemporaryServerTradesDurabilityAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Temporary: true, Settings: map[string]string{"fsync": "on"}})
	require.NoError(t, err)
	conn := connect(t, s.URL("postgres"))
	require.Equal(t, "off", query[string](t, conn, "SHOW full_page_writes"))
	require.Equal(t, "on", query[string](t, conn, "SHOW fsync"), "the caller's setting wins")
	pid := s.PID()

	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()), "Stop may be repeated")
	require.NoDirExists(t, s.Dir())
	require.False(t, alive(pid))
	require.ErrorIs(t, s.Restart(t.Context()), os.ErrClosed)
}

func TestCommittedRowsSurviveACrashOfTheServer(t *testing.T) { // P13
	t.Parallel()
	s := startIn(t, newDir(t))
	conn := connect(t, s.URL("postgres"))
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	old := s.PID()

	s.Crash()
	require.Zero(t, s.PID())
	require.False(t, alive(old))
	require.Error(t, conn.Ping(t.Context()), "connections break")

	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, 42, query[int](t, connect(t, s.URL("postgres")), "SELECT answer FROM kept"))
	log, err := os.ReadFile(s.dir.serverLog())
	require.NoError(t, err)
	require.Contains(t, string(log), "automatic recovery in progress")
}

func TestAStopWhosePatienceEndsStillLeavesNoServer(t *testing.T) {
	t.Parallel()
	s := startIn(t, newDir(t))
	pid := s.PID()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Stop(ended))
	require.False(t, alive(pid))
}

func TestAStartWhosePatienceEndsLeavesNoServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	startIn(t, dir).Crash()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ended, Options{Dir: dir})
	require.Error(t, err)
	require.False(t, aliveServer(filepath.Join(dir, "data")))
}

func TestTheServersMessagesReachFileAndSink(t *testing.T) {
	t.Parallel()
	var sink bytes.Buffer
	s, err := Start(t.Context(), Options{Temporary: true, Log: &sink})
	require.NoError(t, err)
	file, err := os.ReadFile(s.dir.serverLog())
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	require.Contains(t, string(file), string(readyLine))
	require.Contains(t, sink.String(), string(readyLine))
}

func TestAFailedStartQuotesTheServersLog(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Temporary: true, Settings: map[string]string{"shared_buffers": "a lot"}})
	require.ErrorContains(t, err, `invalid value for parameter "shared_buffers"`)
}

func TestADirectoryTooDeepForASocketHasItElsewhere(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(newDir(t), strings.Repeat("d", 90))
	s := startIn(t, deep)
	require.LessOrEqual(t, len(socketPath(s.socketDir)), maxSocketPath)
	require.Equal(t, 1, query[int](t, connect(t, s.URL("postgres")), "SELECT 1"))
	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, s.socketDir)
}

// startChild runs this binary as a process that serves, and returns what it says.
func startChild(t *testing.T, dir string) (child *exec.Cmd, pid int, where, url string) {
	t.Helper()
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childJob+"=serve "+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscan(line, &pid, &where, &url)
	require.NoError(t, err, line)
	return child, pid, where, url
}

func kill9(t *testing.T, child *exec.Cmd) {
	t.Helper()
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait(), "killed")
}

func TestKillingTheOwnerStopsTheServerAndKeepsWhatWasCommitted(t *testing.T) { // P13
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a server to its owner's life")
	}
	t.Parallel()
	dir := newDir(t)
	child, pid, _, url := startChild(t, dir)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	require.True(t, alive(pid))
	kill9(t, child)

	// A new owner does not wait for the test to see the old server end.
	require.Equal(t, 42, query[int](t, connect(t, startIn(t, dir).URL("postgres")), "SELECT answer FROM kept"))
	require.True(t, awaitExit(t.Context(), pid))
	require.Error(t, conn.Ping(t.Context()))
}

func TestATemporaryServerOfAKilledOwnerIsSweptAway(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a server to its owner's life")
	}
	t.Parallel()
	child, pid, dir, _ := startChild(t, "")
	sweepTemporary(filepath.Dir(dir))
	require.DirExists(t, dir, "a living owner's directory is spared")

	kill9(t, child)
	require.True(t, awaitExit(t.Context(), pid))
	sweepTemporary(filepath.Dir(dir))
	require.NoDirExists(t, dir)
}

func TestATemporaryServerIsMadeWhereItIsWantedAndRemoved(t *testing.T) {
	t.Parallel()
	parent := newDir(t)
	killed := filepath.Join(parent, temporaryPrefix+"killed")
	require.NoError(t, os.Mkdir(killed, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(killed, "lock"), []byte("999999999\n\n"), 0o600))
	s, err := Start(t.Context(), Options{Temporary: true, Parent: parent})
	require.NoError(t, err)
	require.Equal(t, parent, filepath.Dir(s.Dir()))
	require.NoDirExists(t, killed)
	require.NoError(t, s.Stop(t.Context()))
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}
