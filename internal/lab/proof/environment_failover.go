package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/lab/wire"
)

// failover streams to a standby, which is promoted when the primary crashes for good.
// Commits wait for the standby if synchronous: then it has all that was acknowledged.
func failover(synchronous bool) (place, func(), error) {
	s := &standby{}
	return place{
		settings: map[string]string{"wal_level": "replica", "max_wal_senders": "5"},
		nemeses:  []pace{{&promote{standby: s}, time.Hour, 0, 0}},
		begin: func(ctx context.Context, a *arena) error {
			if err := s.follow(ctx, a); err != nil {
				return fmt.Errorf("set up the standby: %w", err)
			}
			if !synchronous {
				return nil
			}
			for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"} {
				if err := a.exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		},
	}, func() {}, nil
}

// standby is a second server that follows the arena's.
type standby struct{ socket, url string }

func (s *standby) follow(ctx context.Context, a *arena) error {
	data := filepath.Join(a.server.Dir(), "standby")
	s.socket = filepath.Join(a.server.Dir(), "standby.s")
	s.url = (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {s.socket}}.Encode()}).String()
	if err := os.Mkdir(s.socket, 0o700); err != nil {
		return err
	}
	if err := a.server.Give(s.socket); err != nil {
		return err
	}
	copying, err := a.server.Run("pg_basebackup", "-D", data, "-R", "-X", "stream", "--no-sync", "-c", "fast",
		"-d", "host="+a.host()+" port=5432 user=postgres application_name=standby")
	if err != nil {
		return err
	}
	if err := copying.Wait(ctx); err != nil {
		return err
	}
	server, err := a.server.Run("postgres", "-D", data, "-c", "listen_addresses=", "-c", "port=5432",
		"-c", "unix_socket_directories="+s.socket, "-c", "fsync=off", "-c", "synchronous_commit=on", "-c", "max_connections=150",
		"-c", "track_commit_timestamp=on", "-c", "max_prepared_transactions=10", "-c", "timezone=UTC", "-c", "shared_buffers=128MB")
	if err != nil {
		return err
	}
	a.beside = append(a.beside, server)
	for range 100 {
		if n, err := ask[int](ctx, a, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'standby'"); err == nil && n > 0 {
			return nil
		}
		rest(ctx, 100*time.Millisecond)
	}
	return errors.New("it does not stream")
}

// promote crashes the primary and has everybody use the standby, once.
type promote struct {
	*standby
	instant
	done bool
}

func (*promote) Name() string { return "failover" }

func (p *promote) Start(ctx context.Context, a *arena, _ *rand.Rand) error {
	if p.done {
		return nil
	}
	p.done = true
	ctx = context.WithoutCancel(ctx)
	a.postgres.Lock()
	defer a.postgres.Unlock()
	defer a.fault(Fault{Nemesis: p.Name(), Down: true})()
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := lag(ctx, conn); err != nil {
		return err
	}
	a.server.Crash()
	if _, err := conn.Exec(ctx, "SELECT pg_promote()"); err != nil {
		return err
	}
	a.pool.Close()
	if err := a.connect(ctx, p.url); err != nil {
		return err
	}
	a.fleet.turn(p.socket)
	return nil
}

// lag stops what receives the primary's WAL for half a second, as a slow network would,
// and for good: the primary is gone when it wakes.
func lag(ctx context.Context, conn *pgx.Conn) error {
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pid FROM pg_stat_wal_receiver").Scan(&pid); err != nil {
		return fmt.Errorf("find the receiver: %w", err)
	}
	receiver, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := signalFreeze(receiver); err != nil {
		return err
	}
	time.AfterFunc(time.Second, func() { _ = signalThaw(receiver) }) // it may be gone
	rest(ctx, 500*time.Millisecond)
	return nil
}

// turn leads every process to another server.
func (f *fleet) turn(host string) {
	f.mu.Lock()
	f.host = host
	var all []*wire.Proxy
	for _, p := range f.live {
		all = append(all, p.proxy)
	}
	f.mu.Unlock()
	for _, proxy := range all {
		proxy.Turn(host)
		proxy.CutAll()
	}
}
