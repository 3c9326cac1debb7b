package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

// childConfig configures a child process: one line of JSON on its standard input.
type childConfig struct {
	Role    string        `json:"role"` // worker, producer, server
	Process int           `json:"process"`
	Seed    uint64        `json:"seed"`
	URL     string        `json:"url"`
	History string        `json:"history"` // a directory
	Lease   time.Duration `json:"lease"`
	More    bool          `json:"more"` // of a worker: serve the queues of optional nemeses
	Rate    float64       `json:"rate"` // of a producer: jobs a second
	Most    int64         `json:"most"` // of a producer: jobs in all
}

// The queues of a proof.
const (
	busyQueue = "busy" // most jobs
	lateQueue = "late" // for claims that commit too late
	calmQueue = "calm" // few jobs of many priorities, enqueued without NOTIFY

	// Of optional nemeses.
	burstQueue = "burst" // many fast jobs, then slow ones
	wideQueue  = "wide"  // long jobs, all at once
)

// Orders to a child, one per line.
const (
	orderStop    = "stop"    // a producer ends, a worker drains
	orderExhaust = "exhaust" // hold every connection of the pool for a while
)

// poolHeldFor is how long a pool stays exhausted.
const poolHeldFor = 2 * time.Second

// Child runs a worker, producer or server process. It reads its configuration and then
// orders from in, and exits when in ends. serve runs a server on the database of a URL,
// and may be nil. Child returns the exit code.
func Child(in io.Reader, serve func(ctx context.Context, url string) error) int {
	lines := bufio.NewScanner(in)
	var s childConfig
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &s) != nil {
		fmt.Fprintln(os.Stderr, "proof: a child process is started by the proof command only, which configures it on standard input")
		return 2
	}
	if err := runChild(s, lines, serve); err != nil {
		fmt.Fprintf(os.Stderr, "proof: process %d: %v\n", s.Process, err)
		return 1
	}
	return 0
}

func runChild(s childConfig, orders *bufio.Scanner, serve func(context.Context, string) error) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if s.Role == "server" {
		go readOrders(orders, stop, nil)
		if err := serve(ctx, s.URL); ctx.Err() == nil {
			return err
		}
		return nil
	}
	history, err := openRecorder(s.History, s.Process)
	if err != nil {
		return err
	}
	cfg, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return err
	}
	cfg.MaxConns = 8
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("PENSTOCK_PROOF_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	go readOrders(orders, stop, pool)
	switch s.Role {
	case "worker":
		return (&childWorker{childConfig: s, history: history, pool: pool}).work(ctx, log)
	case "producer":
		client, err := penstock.NewClient(pool, penstock.Config{Logger: log})
		if err != nil {
			return err
		}
		(&childProducer{childConfig: s, history: history, pool: pool, client: client}).produce(ctx)
		return nil
	}
	return errors.New("no such role: " + s.Role)
}

func readOrders(orders *bufio.Scanner, stop func(), pool *pgxpool.Pool) {
	for orders.Scan() {
		switch orders.Text() {
		case orderStop:
			stop()
		case orderExhaust:
			go holdEveryConnection(pool)
		}
	}
	os.Exit(3) // the parent has exited
}

// holdEveryConnection holds every connection of the pool for a while.
func holdEveryConnection(pool *pgxpool.Pool) {
	ctx, cancel := context.WithTimeout(context.Background(), poolHeldFor)
	defer cancel()
	for {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return // the time is over
		}
		defer conn.Release()
	}
}
