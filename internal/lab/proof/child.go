package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
)

// setup is what a child process is told, as one line of JSON on its standard input.
type setup struct {
	Role    string        `json:"role"` // worker, producer, server
	Process int           `json:"process"`
	Seed    uint64        `json:"seed"`
	URL     string        `json:"url"`
	History string        `json:"history"` // a directory
	Lease   time.Duration `json:"lease"`
	Rate    float64       `json:"rate"` // of a producer: jobs a second
	Most    int64         `json:"most"` // of a producer: jobs in all
}

// The queues of a proof.
const (
	busyQueue = "busy" // most jobs
	lateQueue = "late" // what a claim takes that commits too late
	calmQueue = "calm" // few jobs, of many priorities, enqueued without a wake-up
)

// orders that a child obeys.
const (
	orderStop    = "stop"    // a producer ends, a worker drains
	orderExhaust = "exhaust" // it takes every connection of its handlers' pool for a while
)

// exhaustion is how long a pool stays exhausted.
const exhaustion = 2 * time.Second

// Child is a worker, producer or server process: it reads its setup and then orders
// from in, and ends when in does. serve runs a server on the database of a URL; nil
// where there is none. It returns the exit code.
func Child(in io.Reader, serve func(ctx context.Context, url string) error) int {
	lines := bufio.NewScanner(in)
	var s setup
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &s) != nil {
		fmt.Fprintln(os.Stderr, "proof: a child is started by `penstock proof` alone, which tells it what to do")
		return 2
	}
	if err := runChild(s, lines, serve); err != nil {
		fmt.Fprintf(os.Stderr, "proof: process %d: %v\n", s.Process, err)
		return 1
	}
	return 0
}

func runChild(s setup, orders *bufio.Scanner, serve func(context.Context, string) error) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if s.Role == "server" {
		go obey(orders, stop, nil)
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
	log := zap.New(nil)
	if os.Getenv("PENSTOCK_PROOF_LOG") != "" {
		log, _ = zap.NewDevelopment() // its config is a constant
	}
	go obey(orders, stop, pool)
	switch s.Role {
	case "worker":
		return (&hand{setup: s, history: history, pool: pool}).work(ctx, log)
	case "producer":
		client, err := penstock.NewClient(pool, penstock.Config{Logger: log})
		if err != nil {
			return err
		}
		(&producer{setup: s, history: history, pool: pool, client: client}).produce(ctx)
		return nil
	}
	return errors.New("no such role: " + s.Role)
}

func obey(orders *bufio.Scanner, stop func(), pool *pgxpool.Pool) {
	for orders.Scan() {
		switch orders.Text() {
		case orderStop:
			stop()
		case orderExhaust:
			go takeAll(pool)
		}
	}
	os.Exit(3) // whoever started this is gone
}

// takeAll holds every connection of the pool for a while.
func takeAll(pool *pgxpool.Pool) {
	ctx, cancel := context.WithTimeout(context.Background(), exhaustion)
	defer cancel()
	for {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return // the time is over: all are given back
		}
		defer conn.Release()
	}
}
