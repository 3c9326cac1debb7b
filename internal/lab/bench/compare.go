package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Peer is another job queue to measure: a program in a folder of its own. It gets a
// database URL, a number of jobs and their size, and prints one line of JSON.
type Peer struct {
	Name    string
	Folder  string     // relative to Comparison.Folder
	prepare [][]string // commands to run once in the folder
	command []string
	needs   string // a program that must be on PATH
}

// Peers are the queues that have programs.
var Peers = []Peer{
	{
		Name: "river", Folder: "river", needs: "go",
		prepare: [][]string{{"go", "build", "-o", "river.bin", "."}}, command: []string{"./river.bin"},
	},
	{
		Name: "graphile", Folder: "graphile", needs: "npm",
		prepare: [][]string{{"npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"}}, command: []string{"node", "main.mjs"},
	},
}

// peerTimeout bounds a peer's program; one that lost a job would wait for ever.
const peerTimeout = 10 * time.Minute

// peerAnswer is what a peer's program prints.
type peerAnswer struct {
	Peer     string  `json:"peer"`
	Enqueued float64 `json:"enqueued_per_second"`
	Drained  float64 `json:"drained_per_second"`
	Singly   float64 `json:"transactions_per_second"` // one job each
	wal      int64   // bytes during the run
}

// Comparison says which peers to measure, and where their programs are.
type Comparison struct {
	Peers  []Peer
	Folder string // contains the peers' folders
	Rounds int    // of each, alternating
}

// transactionWriters is how many writers commit single-job transactions, in every
// program. They commit a tenth of the jobs.
const transactionWriters = 16

// Compare enqueues and works off opts.Load.Jobs with Penstock and with each peer,
// alternating, on one cluster, each in a database of its own. Then each enqueues a
// tenth of the jobs in single-job transactions. It reports every round, and the ratios
// with their spread. A peer whose tools are missing is left out, and a finding says so.
func Compare(ctx context.Context, opts Options, c Comparison) (*Report, error) {
	scenario := Scenario{Name: "compare", run: func(b *bench, ctx context.Context) error { return b.compare(ctx, c) }}
	return scenario.Run(ctx, opts)
}

func (b *bench) compare(ctx context.Context, c Comparison) error {
	for _, peer := range c.Peers {
		if _, err := exec.LookPath(peer.needs); err != nil {
			b.report.addFinding("%s was left out: %s is not on this machine.", peer.Name, peer.needs)
			continue
		}
		folder := filepath.Join(c.Folder, peer.Folder)
		if _, err := os.Stat(folder); err != nil {
			return fmt.Errorf("%s's program: %w: run this in Penstock's source tree, or name its internal/lab/bench/peers with --peers", peer.Name, err)
		}
		end := b.stage("preparing "+peer.Name, 0, nil)
		for _, command := range peer.prepare {
			if _, err := inFolder(ctx, folder, command...); err != nil {
				end()
				return err
			}
		}
		end()
		if err := b.rounds(ctx, peer, folder, c.Rounds); err != nil {
			return err
		}
	}
	return nil
}

// rounds measures Penstock and a peer alternately.
func (b *bench) rounds(ctx context.Context, peer Peer, folder string, rounds int) error {
	var enqueue, drain, singly, wal spread
	name := peer.Name
	for range rounds {
		queue := b.freshQueue("compare")
		start, err := b.walPosition(ctx)
		if err != nil {
			return err
		}
		enqueued, err := b.enqueueBulk(ctx, queue, b.load.Jobs, 1, nil)
		if err != nil {
			return err
		}
		drained, err := b.drainQueue(ctx, queue, int64(b.load.Jobs))
		if err != nil {
			return err
		}
		few := b.load.Jobs / 10
		transactions, err := b.enqueueInTransactions(ctx, queue+"-singly", few, transactionWriters)
		if err != nil {
			return err
		}
		end, err := b.walPosition(ctx)
		if err != nil {
			return err
		}
		answer, err := b.runPeer(ctx, peer, folder)
		if err != nil {
			return err
		}
		name = answer.Peer
		rate := func(jobs int, perSecond float64) *Speed {
			return speed(int64(jobs), time.Duration(float64(jobs)/perSecond*float64(time.Second)))
		}
		const one = ", a transaction a job"
		b.report.Rows = append(
			b.report.Rows,
			Row{Name: "Penstock, enqueue in bulk", Speed: enqueued}, Row{Name: "Penstock, drain", Speed: drained},
			Row{Name: "Penstock" + one, Speed: transactions, Against: againstCommits},
			Row{Name: name + ", enqueue in bulk", Speed: rate(b.load.Jobs, answer.Enqueued)},
			Row{Name: name + ", drain", Speed: rate(b.load.Jobs, answer.Drained)},
			Row{Name: name + one, Speed: rate(few, answer.Singly), Against: againstCommits},
		)
		singly.add(transactions.JobsPerSecond / answer.Singly)
		enqueue.add(enqueued.JobsPerSecond / answer.Enqueued)
		drain.add(drained.JobsPerSecond / answer.Drained)
		wal.add(float64(answer.wal) / float64(end-start))
	}
	b.report.addFinding("Against %s: drain %s, enqueue in bulk %s, in a transaction a job from %d writers %s. It writes %s of Penstock's WAL, including the creation of its schema.",
		name, drain, enqueue, transactionWriters, singly, wal)
	return nil
}

// runPeer runs a peer's program on a database of its own.
func (b *bench) runPeer(ctx context.Context, peer Peer, folder string) (answer peerAnswer, err error) {
	defer b.stage("measuring "+peer.Name, 0, nil)()
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	p := &runDatabase{url: b.url}
	if err := p.create(ctx); err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	url, err := p.databaseURL()
	if err != nil {
		return answer, err
	}
	start, err := b.walPosition(ctx)
	if err != nil {
		return answer, err
	}
	out, err := inFolder(ctx, folder, append(peer.command, url, fmt.Sprint(b.load.Jobs), fmt.Sprint(b.load.PayloadBytes))...)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(out, &answer); err != nil || min(answer.Enqueued, answer.Drained, answer.Singly) <= 0 {
		return answer, fmt.Errorf("%s did not print its figures: %s", peer.Name, clipText(string(out)))
	}
	end, err := b.walPosition(ctx)
	answer.wal = end - start
	return answer, err
}

func inFolder(ctx context.Context, folder string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = folder
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%s in %s: %w: %s", command[0], folder, err, clipText(string(failed.Stderr)))
	}
	return out, err
}

func clipText(text string) string {
	text = strings.TrimSpace(text)
	return text[:min(len(text), 500)]
}

// spread is the ratios of several rounds.
type spread []float64

func (s *spread) add(ratio float64) { *s = append(*s, ratio) }

func (s spread) String() string {
	least, most, sum := s[0], s[0], 0.0
	for _, ratio := range s {
		least, most, sum = min(least, ratio), max(most, ratio), sum+ratio
	}
	return fmt.Sprintf("%.1f × (%.1f to %.1f in %d rounds)", sum/float64(len(s)), least, most, len(s))
}
