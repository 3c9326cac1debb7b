package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/bull"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

const (
	importBatch = 1000 // jobs of one transaction
	// maxLine is the longest line that is read: data of 1 MiB, escaped as text, and the rest.
	maxLine = 4 << 20
)

func newImport(d *deps) *cobra.Command {
	return command.Group("import", "Bring jobs over from another queue", newImportBull(d))
}

func newImportBull(d *deps) *cobra.Command {
	var queue string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "bull FILE|-", Short: "Enqueue jobs that Bull or BullMQ exported, one JSON document per line",
		Long: `Enqueue jobs that Bull or BullMQ exported, one JSON document per line, as job.toJSON()
or job.asJSON() writes them; docs/migrating.md has the script that exports them.

A job's id is its idempotency key, so a repeated import enqueues nothing twice while the
first one's jobs are there, and 24 hours longer. A file is read to its end before the
first job is enqueued. Finished and repeatable jobs are left out, and counted.`,
		Example: `  penstock import bull mail.ndjson --dry-run
  node export.js mail | penstock import bull - --queue mail`,
		Args: command.Arguments,
	}
	cmd.Flags().StringVar(&queue, "queue", "", "enqueue all of them there (default: where each line says)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "read all lines, say what they are, and enqueue nothing")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		input, err := openImport(d, args[0])
		if err != nil {
			return err
		}
		defer input.Close()
		im := &importer{d: d, client: client, queue: queue, now: d.Now(), result: imported{DryRun: dryRun, Notes: map[string]int64{}, Skipped: map[string]int64{}}}
		if err := im.run(ctx, input, args[0] != "-", dryRun); err != nil {
			return err
		}
		return im.result.write(d, asJSON)
	})
}

func openImport(d *deps, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(d.Stdin), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, command.Usagef("import bull: %w", err)
	}
	return file, nil
}

// importer reads lines and enqueues what they are, a transaction per batch.
type importer struct {
	d      *deps
	client *penstock.Client
	queue  string
	now    time.Time
	shown  *terminal.Progress

	waiting []penstock.NewJob // to be enqueued, and the lines they came from
	lines   []int
	result  imported
}

// imported is what came of it.
type imported struct {
	DryRun  bool             `json:"dryRun"`
	Jobs    int64            `json:"jobs"` // enqueued, or there already
	Skipped map[string]int64 `json:"skipped"`
	Notes   map[string]int64 `json:"leftOut"` // what jobs have that has no counterpart
}

// run reads a file twice, so that a bad line is found before anything is enqueued;
// standard input only once.
func (im *importer) run(ctx context.Context, input io.Reader, twice, dryRun bool) error {
	im.shown = terminal.NewProgress(im.d.Stderr, im.d.ErrScreen, im.d.Now, 0)
	defer im.shown.Clear()
	if file, ok := input.(io.Seeker); ok && twice && !dryRun {
		if err := im.read(ctx, input, func([]penstock.NewJob) error { return nil }); err != nil {
			return err
		}
		im.shown = terminal.NewProgress(im.d.Stderr, im.d.ErrScreen, im.d.Now, im.result.Jobs)
		im.result = imported{Notes: map[string]int64{}, Skipped: map[string]int64{}}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read the file again: %w", err)
		}
	}
	enqueue := func(jobs []penstock.NewJob) error {
		_, err := im.client.EnqueueMany(ctx, jobs)
		return err
	}
	if dryRun {
		enqueue = func([]penstock.NewJob) error { return nil }
	}
	return im.read(ctx, input, enqueue)
}

// read goes through the lines and hands over what is to be enqueued in batches.
func (im *importer) read(ctx context.Context, input io.Reader, enqueue func([]penstock.NewJob) error) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		job, err := bull.Read(lines.Bytes(), im.queue, im.now)
		if err != nil {
			return im.failed(number, err)
		}
		for _, note := range job.Notes {
			im.result.Notes[note]++
		}
		if job.Skip != "" {
			im.result.Skipped[job.Skip]++
			continue
		}
		im.waiting, im.lines = append(im.waiting, job.NewJob), append(im.lines, number)
		if len(im.waiting) == importBatch {
			if err := im.flush(ctx, enqueue); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return im.failed(number+1, errors.New("it is longer than 4 MiB"))
	} else if err != nil {
		return fmt.Errorf("import bull: read: %w", err)
	}
	return im.flush(ctx, enqueue)
}

func (im *importer) flush(ctx context.Context, enqueue func([]penstock.NewJob) error) error {
	if len(im.waiting) == 0 {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := enqueue(im.waiting); err != nil {
		if refused, ok := errors.AsType[*penstock.ArgumentError](err); ok && refused.Job > 0 {
			return im.failed(im.lines[refused.Job-1], refused)
		}
		return fmt.Errorf("%w%s", err, im.before())
	}
	im.result.Jobs += int64(len(im.waiting))
	im.waiting, im.lines = im.waiting[:0], im.lines[:0]
	im.shown.Show(im.result.Jobs, "read", "")
	return nil
}

// failed is a line that cannot be taken.
func (im *importer) failed(line int, err error) error {
	return command.Usagef("import bull: line %d: %w%s", line, err, im.before())
}

// before says what is in already when an import ends early.
func (im *importer) before() string {
	if im.result.Jobs == 0 || im.result.DryRun {
		return ""
	}
	return fmt.Sprintf("; %s before it are in, and are not enqueued again when the import is repeated", terminal.Plural(im.result.Jobs, "job"))
}

func (r imported) write(d *deps, asJSON bool) error {
	if asJSON {
		return terminal.WriteJSON(d.Stdout, r)
	}
	verb := "Imported"
	if r.DryRun {
		verb = "Would import"
	}
	fmt.Fprintf(d.Stdout, "%s %s.\n", verb, terminal.Plural(r.Jobs, "job"))
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(d.Stdout, "Left out %s, %s.\n", terminal.Plural(r.Skipped[why], "job"), why)
	}
	if len(r.Notes) > 0 {
		var all []string
		for _, note := range slices.Sorted(maps.Keys(r.Notes)) {
			all = append(all, fmt.Sprintf("%s (%s)", terminal.Plain(note), terminal.Plural(r.Notes[note], "job")))
		}
		fmt.Fprintf(d.Stdout, "Without a counterpart, and left out: %s.\n", strings.Join(all, ", "))
	}
	return nil
}
