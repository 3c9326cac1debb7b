package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/bench"
	"github.com/penstock/penstock/internal/terminal"
)

// newCompare is the command that runs other job queues beside this one.
func newCompare(p *command.Process) *cobra.Command {
	opts := bench.Options{Version: command.Version(), Load: bench.Load{Jobs: 100_000, Concurrency: 100, PayloadBytes: 100}}
	c := bench.Comparison{Folder: "internal/lab/bench/peers", Rounds: 2}
	var names []string
	var asJSON bool
	for _, peer := range bench.Peers {
		names = append(names, peer.Name)
	}
	all := strings.Join(names, ", ")
	cmd := &cobra.Command{
		Use: "compare", Short: "Run other job queues beside this one", Args: command.Arguments,
		Long: `Enqueues jobs in bulk, works them off, and enqueues a tenth of them in a transaction
each: Penstock, then a peer, and both again, on one cluster with the same durability,
each in a database of its own, and prints the ratios with their spread. Peers
(` + all + `) have the settings that were fastest here; Penstock has none.
It runs in Penstock's source, whose internal/lab/bench/peers has a program for each; river
needs Go, graphile needs Node and npm.`,
	}
	flags := cmd.Flags()
	config.Bind(flags, config.DatabaseURL, config.LogFormat)
	flags.StringSliceVar(&names, "peer", names, "which: "+all)
	flags.StringVar(&c.Folder, "peers", c.Folder, "the folder with the peers' programs")
	flags.IntVar(&c.Rounds, "rounds", c.Rounds, "of each, in turns, 1 to 20")
	flags.IntVar(&opts.Load.Jobs, "jobs", opts.Load.Jobs, "how many jobs in a round, at least 1000")
	flags.IntVar(&opts.Load.PayloadBytes, "payload-bytes", opts.Load.PayloadBytes, "size of each job's data, as JSON")
	flags.BoolVar(&opts.Remote, "remote", false, "permit a server on another machine; the network counts then")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range names {
			i := slices.IndexFunc(bench.Peers, func(p bench.Peer) bool { return p.Name == name })
			if i < 0 {
				return command.Usagef("bench: --peer must be of %s, got %q", all, name)
			}
			c.Peers = append(c.Peers, bench.Peers[i])
		}
		switch l := opts.Load; {
		case c.Rounds < 1 || c.Rounds > 20:
			return command.Usagef("bench: --rounds must be 1 to 20, got %d", c.Rounds)
		case l.Jobs < 1000 || l.Jobs > 100_000_000:
			return command.Usagef("bench: --jobs must be 1000 to 100000000, got %d", l.Jobs)
		case l.PayloadBytes < bench.MinPayload || l.PayloadBytes > bench.MaxPayload:
			return command.Usagef("bench: --payload-bytes must be %d to %d, got %d", bench.MinPayload, bench.MaxPayload, l.PayloadBytes)
		}
		cfg, err := p.Load(cmd)
		if err != nil {
			return err
		}
		opts.URL, opts.Log = cfg.DatabaseURL.Reveal(), quietLogger(p, cfg)
		return runCompare(cmd.Context(), p, opts, c, asJSON)
	}
	return cmd
}

func runCompare(ctx context.Context, p *command.Process, opts bench.Options, c bench.Comparison, asJSON bool) error {
	if p.ErrScreen.Terminal {
		opts.Progress = showBench(&terminal.Bar{Out: p.Stderr, Screen: p.ErrScreen})
		defer fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	report, err := bench.Compare(ctx, opts, c)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(p.Stdout, report)
	}
	if p.ErrScreen.Terminal {
		fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	return writeReport(p.Stdout, p.Screen, report)
}
