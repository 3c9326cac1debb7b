package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/lab/proof"
	"github.com/penstock/penstock/internal/terminal"
)

func newProof(p *command.Process) *cobra.Command {
	opts := proof.Options{}
	var seed uint64
	cmd := &cobra.Command{
		Use:   "proof",
		Short: "Show that the promises hold while processes, Postgres and the network fail",
		Long: `Show that the promises hold while processes, Postgres and the network fail.

A run starts a private PostgreSQL (DATABASE_URL is not used), workers and producers as
processes of their own, and breaks them: kill -9, SIGSTOP, crashes and outages of
Postgres, cut, slow and silent connections, replies dropped after their commit, and
more (--list names all). Every process writes down what it asked and was told; the
database keeps its own account; afterwards one is held against the other, and every
promise that was broken is printed with its counter-example.

The report is Markdown on standard output. The exit code is 0 when no promise was
broken and 1 when one was. The same seed breaks the same things at the same times.`,
		Args: command.Arguments,
	}
	flags := cmd.Flags()
	flags.DurationVar(&opts.Duration, "duration", 10*time.Minute, "how long things break, 10s to 24h; recovery and judgement come on top")
	flags.Uint64Var(&seed, "seed", 0, "what breaks when; 0: by chance, and the report names it")
	flags.DurationVar(&opts.Lease, "lease", 15*time.Second, "of the workers, 2s to 1m")
	flags.IntVar(&opts.Jobs, "jobs", 0, "how many to enqueue; 0: 1,000,000 in ten minutes")
	flags.IntVar(&opts.Workers, "workers", 3, "worker processes, 1 to 32")
	flags.StringSliceVar(&opts.Nemeses, "nemesis", nil, "what breaks, such as crash,freeze; left out: everything")
	flags.StringSliceVar(&opts.Mutants, "mutant", nil, "a guard to take out of the database first; the proof must notice")
	usual := 0
	if failpoint.Enabled {
		usual = 5000
	}
	flags.IntVar(&opts.Failpoint, "failpoint", usual, "one in so many calls of the database fails by chance; 0: none; needs a build with -tags failpoint")
	flags.StringVar(&opts.Keep, "keep", "", "a directory for the histories to stay in")
	var environments bool
	flags.StringSliceVar(&opts.Environments, "environment", nil, "make only the short runs in these environments")
	flags.BoolVar(&environments, "environments", false, "then also a full disk, clock jumps, PgBouncer and failovers, where this machine allows them: a minute each")
	list := flags.Bool("list", false, "name what breaks, and the mutants")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *list {
			return listProof(p)
		}
		opts.Seed = seed
		if seed == 0 {
			opts.Seed = 1 + rand.Uint64N(999_999)
		}
		return runProof(cmd.Context(), p, opts, environments)
	}
	cmd.AddCommand(newProofChild(p))
	return cmd
}

func listProof(p *command.Process) error {
	fmt.Fprintf(p.Stdout, "%s\n  %s\n", p.Screen.Paint(terminal.Bold, "what breaks"), strings.Join(proof.Nemeses(), "\n  "))
	fmt.Fprintf(p.Stdout, "%s\n  %s\n", p.Screen.Paint(terminal.Bold, "only when named"), strings.Join(proof.OptionalNemeses(), "\n  "))
	usual, optional := proof.Environments()
	fmt.Fprintf(p.Stdout, "%s\n  %s\n", p.Screen.Paint(terminal.Bold, "environments"), strings.Join(usual, "\n  "))
	fmt.Fprintf(p.Stdout, "%s\n  %s\n", p.Screen.Paint(terminal.Bold, "environments only when named"), strings.Join(optional, "\n  "))
	fmt.Fprintln(p.Stdout, p.Screen.Paint(terminal.Bold, "mutants"))
	for _, m := range proof.Mutants {
		fmt.Fprintln(p.Stdout, "  "+m.Name)
	}
	return nil
}

func runProof(ctx context.Context, p *command.Process, opts proof.Options, environments bool) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	opts.Child = []string{self, "proof", "child"}
	opts.Serve = true
	opts.Stage = func(stage string) { fmt.Fprintln(p.Stderr, p.ErrScreen.Paint(terminal.Faint, "proof: "+stage)) }
	var report *proof.Report
	if len(opts.Environments) > 0 {
		report, environments = &proof.Report{Seed: opts.Seed}, true
	} else {
		report, err = proof.Run(ctx, opts)
	}
	if report != nil && environments {
		all, failed := proof.RunEnvironments(ctx, opts)
		report.Environments = all
		err = errors.Join(err, failed)
	}
	if report != nil {
		if err := report.WriteMarkdown(p.Stdout); err != nil {
			return err
		}
	}
	if errors.Is(err, proof.ErrOptions) {
		return command.Usage(err)
	}
	if errors.Is(err, proof.ErrBroken) {
		return fmt.Errorf("proof: %w: replay it with --seed %d", err, opts.Seed)
	}
	return err
}

// newProofChild is what a run starts; it is of no use by hand.
func newProofChild(p *command.Process) *cobra.Command {
	return &cobra.Command{
		Use: "child", Hidden: true, Args: command.Arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code := proof.Child(p.Stdin, func(ctx context.Context, url string) error { return serveProof(ctx, p, url) })
			if code != 0 {
				return fmt.Errorf("proof: child: exit %d", code)
			}
			return nil
		},
	}
}

// serveProof runs a server on the proof's database, on a free port.
func serveProof(ctx context.Context, p *command.Process, url string) error {
	cmd := newServe(p)
	cmd.SetArgs([]string{"--database-url", url, "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "error"})
	return cmd.ExecuteContext(ctx)
}
