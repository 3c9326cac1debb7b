package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/postgres"
)

// deps is what commands get from the process. Tests bring their own.
type deps struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ gives it
	program        string   // how this program was called, for commands to type next
	now            func() time.Time
	interrupts     *interrupts

	screen    screen // how stdout is written to
	errScreen screen // the same for stderr, and so for logs
	asks      bool   // somebody sits there who can answer a question

	started bool // a command of ours was reached: errors from now on are its own
}

func processDeps() *deps {
	d := &deps{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), program: os.Args[0], now: time.Now,
		interrupts: newInterrupts(),
		screen:     screenOf(os.Stdout, os.LookupEnv),
		errScreen:  screenOf(os.Stderr, os.LookupEnv),
	}
	d.asks = isatty.IsTerminal(os.Stdin.Fd()) && d.errScreen.terminal
	return d
}

// screenOf tells what the file is and whether its reader wants colour. NO_COLOR with
// any value but none turns it off, as does a terminal that says it is dumb.
func screenOf(f *os.File, lookup func(string) (string, bool)) screen {
	s := screen{terminal: isatty.IsTerminal(f.Fd())}
	noColor, _ := lookup("NO_COLOR")
	term, _ := lookup("TERM")
	s.colour = s.terminal && noColor == "" && term != "dumb"
	if s.terminal {
		s.width = terminalWidth(f)
	}
	return s
}

func newRoot(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock",
		Short: "A transactional job queue in the PostgreSQL you already run",
		Long: `Penstock queues jobs in PostgreSQL: enqueue them inside your own transactions,
work them in any language, retry them by policy, and look into what died.

Commands use DATABASE_URL. Without it, "penstock serve" starts a private
PostgreSQL, and the other commands talk to that one while it runs.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			d.started = true
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(d.stdin)
	root.SetOut(d.stdout)
	root.SetErr(d.stderr)
	root.AddCommand(
		newServe(d), newWork(d), newTop(d), newEnqueue(d), newJob(d), newDLQ(d),
		newQueue(d), newPolicy(d), newRule(d), newLevel(d), newTag(d), newBreaker(d), newTask(d), newHealth(d), newAudit(d), newToken(d),
		newStats(d), newVerify(d), newImport(d),
		newMigrate(d), newGrants(d), newURL(d), newConfig(d), newBench(d), newProof(d), newDoctor(d), newVersion(d),
	)
	return root
}

// group is a command that only holds others: alone it shows them.
func group(use, short string, members ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(members...)
	return cmd
}

// load reads the settings that the command bound. What is wrong with them is the
// user's to mend: a usage error.
func (d *deps) load(cmd *cobra.Command) (config.Config, error) {
	cfg, err := config.Load(cmd.Flags(), d.environ)
	if err != nil {
		return cfg, usageError{error: err}
	}
	return cfg, nil
}

// connect opens the database that the settings name, else that of a running
// `penstock serve`, and makes sure that its schema and this binary fit each other.
// The caller closes the pool.
func connect(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	pool, err := connectUnchecked(ctx, cfg, configure...)
	if err != nil {
		return nil, err
	}
	if err := postgres.Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// connectUnchecked is connect for the commands that change the schema.
func connectUnchecked(ctx context.Context, cfg config.Config, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	url := cfg.DatabaseURL.Reveal()
	if url == "" {
		var err error
		if url, err = postgres.Attach(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	return postgres.Open(ctx, url, configure...)
}
