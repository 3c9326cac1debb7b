package penstock

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/lab/failpoint"
)

// Config sets up a Client. The zero value works.
type Config struct {
	Logger *slog.Logger // nil: silent
	Hooks  Hooks        // observers; see Hooks

	EnqueueMiddleware []EnqueueMiddleware // wraps every enqueue made in Go; the first is the outermost
}

// Client enqueues jobs, reads them and changes them. What operators need is in its
// groups, such as client.Queues.Pause. It is safe for concurrent use, holds no
// connection and needs no closing.
type Client struct {
	// Each group works where the client does: after InTx in the transaction, after As
	// on behalf of the actor.
	Queues     QueueClient    // counts, settings, pausing
	DLQ        DLQClient      // the dead letter queue: read, redrive, purge
	Policies   PolicyClient   // retry policies
	Priorities PriorityClient // rules, levels and tags that give jobs their weight
	Breakers   BreakerClient  // circuit breakers
	Workers    WorkerClient   // registered workers
	Metrics    MetricsClient  // counts and times over a span
	Health     HealthClient   // issues, reports, thresholds
	Tasks      TaskClient     // scheduled tasks that keep the database in order
	Tokens     TokenClient    // tokens of the HTTP API
	Audit      AuditClient    // who changed what

	*scope
	group      *enqueueGroup // nil inside a transaction, as keyed
	keyed      *enqueueGroup // of jobs with an idempotency key: those may wait for others' transactions
	log        *slog.Logger
	hooks      Hooks
	middleware []EnqueueMiddleware
	wakeups    *localWakeups
	watch      *jobWatch // of Wait
}

// scope is where a client's statements run, and on whose behalf.
type scope struct {
	pool    *pgxpool.Pool // nil inside a transaction
	queries *db.Queries
	actor   string // for the audit log; empty: the database user
}

// NewClient makes a client of a database that "penstock migrate up" has prepared. It
// starts nothing and does not connect.
func NewClient(pool *pgxpool.Pool, cfg Config) (*Client, error) {
	if pool == nil {
		return nil, errors.New("penstock: NewClient needs a pool")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		log: cfg.Logger, hooks: cfg.Hooks.contained(cfg.Logger), middleware: cfg.EnqueueMiddleware, wakeups: newLocalWakeups(), watch: &jobWatch{},
	}
	c.group, c.keyed = &enqueueGroup{client: c}, &enqueueGroup{client: c}
	c.use(&scope{pool: pool, queries: db.New(failpoint.Wrap(pool))})
	return c, nil
}

// use makes the client and all its groups work in s.
func (c *Client) use(s *scope) {
	c.scope = s
	c.Queues, c.DLQ, c.Policies, c.Priorities = QueueClient{s}, DLQClient{s}, PolicyClient{s}, PriorityClient{s}
	c.Breakers, c.Workers, c.Metrics, c.Health = BreakerClient{s}, WorkerClient{s}, MetricsClient{s}, HealthClient{s}
	c.Tasks, c.Tokens, c.Audit = TaskClient{s}, TokenClient{s}, AuditClient{s}
}

// InTx returns the client for use inside the caller's transaction: what it and its
// groups do exists if and only if the caller commits (P2).
func (c *Client) InTx(tx pgx.Tx) *Client {
	inside := *c
	inside.group, inside.keyed = nil, nil
	inside.use(&scope{queries: c.queries.WithTx(tx), actor: c.actor})
	return &inside
}

// As returns the client for use on behalf of an actor: the audit log names actor, up to
// 128 characters, for what the client and its groups change.
func (c *Client) As(actor string) *Client {
	other := *c
	other.use(&scope{c.pool, c.queries, actor})
	return &other
}

// Pool returns the pool that the client was made with; nil inside a transaction.
func (c *Client) Pool() *pgxpool.Pool { return c.pool }

// Config returns how the client was set up, with defaults filled in.
func (c *Client) Config() Config { return Config{c.log, c.hooks, c.middleware} }

// acting runs a change in the name of the actor.
func (s *scope) acting(ctx context.Context, change func(*db.Queries) error) error {
	if s.actor == "" {
		return change(s.queries)
	}
	if s.pool == nil { // in the caller's transaction, whose later changes are not the actor's
		before, err := s.queries.Actor(ctx)
		if err != nil {
			return err
		}
		if err := s.queries.NameActor(ctx, s.actor); err != nil {
			return err
		}
		if err := change(s.queries); err != nil {
			return err
		}
		return s.queries.NameActor(ctx, before)
	}
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		if err := q.NameActor(ctx, s.actor); err != nil {
			return err
		}
		return change(q)
	})
}
