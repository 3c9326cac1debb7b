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

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/lab/wire"
)

// failover sets up a streaming standby that is promoted when the primary crashes for
// good. With synchronous replication commits wait for the standby, so it has every
// acknowledged commit.
func failover(synchronous bool) (platform, func(), error) {
	s := &standby{}
	return platform{
		settings: map[string]string{"wal_level": "replica", "max_wal_senders": "5"},
		nemeses:  []schedule{{&failoverOnce{standby: s}, time.Hour, 0, 0}},
		begin: func(ctx context.Context, a *testbed) error {
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

// failoverUnderHandlers is an asynchronous failover that gives ids of lost jobs out again
// while their handlers still run.
func failoverUnderHandlers() (platform, func(), error) {
	p, undo, err := failover(false)
	p.more = true
	for _, n := range p.nemeses {
		n.nemesis.(*failoverOnce).reuse = true
	}
	return p, undo, err
}

// standby is a second server that replicates the testbed's server.
type standby struct{ socket, url string }

func (s *standby) follow(ctx context.Context, a *testbed) error {
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
	a.programs = append(a.programs, server)
	for range 100 {
		if n, err := queryOne[int](ctx, a, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'standby'"); err == nil && n > 0 {
			return nil
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return errors.New("the standby does not stream")
}

// failoverOnce crashes the primary and directs every process to the standby, once.
type failoverOnce struct {
	*standby
	nothingToHeal
	done  bool
	reuse bool // give ids of lost jobs out again
}

func (*failoverOnce) Name() string { return "failover" }

func (p *failoverOnce) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	if p.done {
		return nil
	}
	p.done = true
	ctx = context.WithoutCancel(ctx)
	a.postgresMu.Lock()
	defer a.postgresMu.Unlock()
	defer a.beginFault(Fault{Nemesis: p.Name(), Down: true})()
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := pauseReceiver(ctx, conn); err != nil {
		return err
	}
	if p.reuse {
		// The standby receives none of these. They run when the primary crashes.
		if err := enqueueWide(ctx, a, a.pool.Config().ConnConfig, 6000); err != nil {
			return err
		}
		sleep(ctx, 300*time.Millisecond)
	}
	a.server.Crash()
	if _, err := conn.Exec(ctx, "SELECT pg_promote()"); err != nil {
		return err
	}
	a.pool.Close()
	if err := a.connect(ctx, p.url); err != nil {
		return err
	}
	if p.reuse { // before any producer takes numbers
		if err := enqueueWide(ctx, a, a.pool.Config().ConnConfig, 9000); err != nil {
			return err
		}
	}
	a.fleet.redirect(p.socket)
	return nil
}

// enqueueWide enqueues long jobs in a new session, whose ids come from a block of numbers
// that no session holds yet.
func enqueueWide(ctx context.Context, a *testbed, config *pgx.ConnConfig, millis int) error {
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, answer, err := a.enqueue(ctx, a.client.InTx(tx), 200, penstock.NewJob{Queue: wideQueue}, data{MS: millis})
		answer(Unknown) // whether it is kept is not the question
		return err
	})
}

// pauseReceiver stops the process that receives WAL for half a second, as a slow
// network would. It wakes only after the primary has crashed.
func pauseReceiver(ctx context.Context, conn *pgx.Conn) error {
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
	time.AfterFunc(2*time.Second, func() { _ = signalThaw(receiver) }) // it may be gone
	sleep(ctx, 500*time.Millisecond)
	return nil
}

// redirect makes every process connect to another server.
func (f *fleet) redirect(host string) {
	f.mu.Lock()
	f.host = host
	var all []*wire.Proxy
	for _, p := range f.live {
		all = append(all, p.proxy)
	}
	f.mu.Unlock()
	for _, proxy := range all {
		proxy.SetTarget(host)
		proxy.CutAll()
	}
}
