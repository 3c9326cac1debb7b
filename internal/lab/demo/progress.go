package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

const (
	redrawEvery = 200 * time.Millisecond // on a terminal; Postgres is asked as often
	printEvery  = 2 * time.Second        // elsewhere
	rateWindow  = 2 * time.Second        // jobs/s is the mean over this much of the past
)

// progress shows how far the queue is. What waits, runs and is dead it asks Postgres;
// what ended here it counts itself, because the history of ended jobs is long.
type progress struct {
	client *penstock.Client
	out    io.Writer
	width  func() int // of the terminal; nil: out is none
	before penstock.QueueCounts

	done, dead, retries atomic.Int64 // attempts of this process, by their end

	// The rest belongs to watch's goroutine.
	last    penstock.QueueCounts
	away    bool // Postgres did not answer the last time
	samples []sample
}

// sample is how many jobs had ended at a moment.
type sample struct {
	at    time.Time
	ended int64
}

// count is a middleware: every attempt passes it.
func (p *progress) count(next penstock.HandlerFunc) penstock.HandlerFunc {
	return func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
		err := next(ctx, job)
		var fault *fileError
		switch {
		case err == nil:
			p.done.Add(1)
		case errors.As(err, &fault):
			p.dead.Add(1)
		case ctx.Err() == nil:
			p.retries.Add(1)
		}
		return err
	}
}

// watch draws until the queue holds no job that has not ended, or ctx ends, and then
// clears the line on a terminal.
func (p *progress) watch(ctx context.Context) {
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	if p.width != nil {
		defer fmt.Fprint(p.out, "\r\x1b[K")
	}
	drawn := time.Now()
	for now := drawn; ; {
		p.ask(ctx)
		if !p.away && unfinished(p.last) == 0 {
			return
		}
		p.sample(now)
		if p.width != nil || now.Sub(drawn) >= printEvery {
			drawn = now
			p.draw()
		}
		select {
		case now = <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask keeps the last answer when there is none.
func (p *progress) ask(ctx context.Context) {
	counts, err := queueCounts(ctx, p.client)
	if p.away = err != nil; !p.away {
		p.last = counts
	}
}

func (p *progress) sample(now time.Time) {
	p.samples = append(p.samples, sample{now, p.done.Load() + p.dead.Load()})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateWindow {
		p.samples = p.samples[1:]
	}
}

// rate is in jobs a second.
func (p *progress) rate() int64 {
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	return perSecond(last.ended-first.ended, last.at.Sub(first.at))
}

func perSecond(n int64, took time.Duration) int64 {
	return int64(float64(n) / max(took.Seconds(), 0.001))
}

// draw shows a line of constant shape, so that only the figures move; it fits 80 cells.
func (p *progress) draw() {
	line := fmt.Sprintf("waiting %6s  running %2s  retrying %4s  done %6s  dead %3s  %5s jobs/s",
		terminal.Thousands(p.last.Waiting+p.last.Scheduled), terminal.Thousands(p.last.Running), terminal.Thousands(p.last.Retrying),
		terminal.Thousands(p.done.Load()), terminal.Thousands(p.last.Dead-p.before.Dead), terminal.Thousands(p.rate()))
	if p.away {
		line = terminal.Clip("Postgres does not answer; trying again", len(line))
	}
	if p.width == nil {
		fmt.Fprintln(p.out, line)
		return
	}
	width := p.width()
	if width <= 0 {
		width = 80
	}
	// One cell stays free: a terminal wraps when the last is written.
	fmt.Fprint(p.out, "\r"+terminal.Clip(line, width-1)+"\x1b[K")
}

// queueCounts is zero for a queue that holds nothing.
func queueCounts(ctx context.Context, client *penstock.Client) (penstock.QueueCounts, error) {
	counts, err := client.Queues.Counts(ctx, queue)
	if err != nil || len(counts) == 0 {
		return penstock.QueueCounts{}, err
	}
	return counts[0], nil
}

// left is how many jobs have not ended.
func unfinished(c penstock.QueueCounts) int64 {
	return c.Waiting + c.Scheduled + c.Retrying + c.Running
}
