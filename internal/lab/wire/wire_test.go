package wire

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// behind is a database and a connection to it through a proxy.
type behind struct {
	*testkit.DB
	proxy *Proxy
	cfg   *pgx.ConnConfig
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	db := testkit.New(t)
	cfg := db.Pool.Config().ConnConfig.Copy()
	if !filepath.IsAbs(cfg.Host) {
		t.Skip("the server of DATABASE_URL is not on a Unix socket, and the proxy is")
	}
	proxy, err := Listen(filepath.Join(t.TempDir(), "p"), cfg.Host)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	cfg.Host = proxy.Dir()
	_, err = db.Pool.Exec(t.Context(), "CREATE TABLE kept (n integer)")
	require.NoError(t, err)
	return &behind{db, proxy, cfg}
}

func (b *behind) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), b.cfg.Copy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be cut
	return conn
}

func (b *behind) kept(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.Pool.QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&n))
	return n
}

const insert = "INSERT INTO kept VALUES (1)"

func TestAReplyIsDroppedAfterItsCommit(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]pgx.QueryExecMode{"prepared": pgx.QueryExecModeCacheStatement, "as text": pgx.QueryExecModeSimpleProtocol} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehind(t)
			conn := b.connect(t)
			fault := b.proxy.Cut("INTO kept")
			_, err := conn.Exec(t.Context(), "SELECT 1", mode)
			require.NoError(t, err, "it does not bear the mark")
			_, err = conn.Exec(t.Context(), insert, mode)
			require.Error(t, err)
			<-fault.Committed
			require.Equal(t, 1, b.kept(t))
			_, err = b.connect(t).Exec(t.Context(), insert, mode)
			require.NoError(t, err, "a fault strikes once")
			require.Zero(t, b.proxy.Clear())
		})
	}
}

func TestAReplyWithoutRowsPassesAFaultThatWaitsForRows(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	conn := b.connect(t)
	fault := b.proxy.CutRows("FROM kept")
	_, err := conn.Exec(t.Context(), "SELECT * FROM kept")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), insert)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT * FROM kept")
	require.Error(t, err)
	<-fault.Committed
}

func TestAReplyIsHeldBackAndDelivered(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	conn := b.connect(t)
	fault, deliver := b.proxy.Hold("INTO kept")
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), insert)
		done <- err
	}()
	<-fault.Committed
	require.Equal(t, 1, b.kept(t))
	require.Empty(t, done)
	deliver()
	require.NoError(t, <-done)
}

func TestWhatABlackHoleSwallowedArrivesWhenItIsMended(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	conn := b.connect(t)
	b.proxy.Block()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), insert)
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := pgx.ConnectConfig(ctx, b.cfg.Copy())
	require.ErrorIs(t, err, context.DeadlineExceeded, "a new connection hangs as well")
	require.Empty(t, done)
	require.Zero(t, b.kept(t))
	b.proxy.Unblock()
	require.NoError(t, <-done)
	require.Equal(t, 1, b.kept(t))
}

func TestACutEndsEveryConnectionAndNoneThatComesAfter(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	conns := []*pgx.Conn{b.connect(t), b.connect(t)}
	require.Equal(t, 2, b.proxy.CutAll())
	for _, conn := range conns {
		require.Error(t, conn.Ping(t.Context()))
	}
	require.NoError(t, b.connect(t).Ping(t.Context()))
}

func TestADelayIsOnTopOfEachWay(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	conn := b.connect(t)
	const delay = 50 * time.Millisecond
	b.proxy.Delay(delay)
	start := time.Now()
	require.NoError(t, conn.Ping(t.Context()))
	require.GreaterOrEqual(t, time.Since(start), 2*delay)
	b.proxy.Delay(0)
}

func TestAProxyTurnsToAnotherServer(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	other := newBehind(t).proxy
	b.proxy.SetTarget(other.Dir())
	require.NoError(t, b.connect(t).Ping(t.Context()), "through both")
	require.Equal(t, 1, other.CutAll())
	b.proxy.SetTarget(t.TempDir())
	_, err := pgx.ConnectConfig(t.Context(), b.cfg.Copy())
	require.Error(t, err, "the server does not exist")
}

func TestMessagesAreCutOffWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes   string
		hasKind bool
		ok      bool
	}{
		"nothing":                    {"", true, false},
		"half a head":                {"Q\x00\x00", true, false},
		"half a body":                {"Q\x00\x00\x00\x06a", true, false},
		"a whole one":                {"Q\x00\x00\x00\x05a", true, true},
		"one and a half":             {"Q\x00\x00\x00\x05aQ\x00", true, true},
		"the first has no kind":      {"\x00\x00\x00\x05a", false, true},
		"a length that cannot be":    {"Q\x00\x00\x00\x00", true, false},
		"a length beyond all reason": {"Q\xff\xff\xff\xff", true, false},
	} {
		_, _, rest, ok := message([]byte(c.bytes), c.hasKind)
		require.Equal(t, c.ok, ok, name)
		require.LessOrEqual(t, len(rest), len(c.bytes), name)
	}
}
