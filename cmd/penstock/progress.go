package main

import (
	"fmt"
	"time"

	"github.com/penstock/penstock/internal/lab/bench"
)

// plainEvery is how often work that is not watched on a terminal says how far it is.
const plainEvery = 5 * time.Second

// progress shows on stderr how far long work is: a bar on a terminal, else a line now
// and then. total 0 is not known.
type progress struct {
	d     *deps
	total int64
	said  string
	next  time.Time // the next plain line, unless the words change first
}

func newProgress(d *deps, total int64) *progress {
	return &progress{d: d, total: total, next: d.now().Add(plainEvery)}
}

// show says that done of the total are done. note is what the work is waiting for, if
// anything: a new one is said at once.
func (p *progress) show(done int64, what, note string) {
	line := plural(done, "job") + " " + what
	if p.total > 0 {
		line = fmt.Sprintf("%s of %s %s", thousands(done), plural(p.total, "job"), what)
	}
	if note != "" {
		line += ", " + plain(note)
	}
	if p.d.errScreen.terminal {
		(&bar{out: p.d.stderr, screen: p.d.errScreen}).show(bench.Progress{Stage: line, Done: done, Total: p.total})
		return
	}
	if note == p.said && p.d.now().Before(p.next) {
		return
	}
	p.said, p.next = note, p.d.now().Add(plainEvery)
	fmt.Fprintln(p.d.stderr, line)
}

// clear takes the bar away, for what is printed next.
func (p *progress) clear() {
	if p.d.errScreen.terminal {
		fmt.Fprint(p.d.stderr, clearLine)
	}
}
