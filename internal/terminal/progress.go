package terminal

import (
	"fmt"
	"io"
	"time"
)

// plainEvery is how often work that is not watched on a terminal says how far it is.
const plainEvery = 5 * time.Second

// Progress shows on stderr how far long work is: a bar on a terminal, else a line now
// and then. total 0 is not known.
type Progress struct {
	out    io.Writer
	screen Screen
	clock  func() time.Time
	Total  int64
	noted  string    // the last plain line's note
	next   time.Time // the next plain line, unless the words change first
}

func NewProgress(out io.Writer, s Screen, clock func() time.Time, total int64) *Progress {
	return &Progress{out: out, screen: s, clock: clock, Total: total, next: clock().Add(plainEvery)}
}

// Show says that done of the total are done. note is what the work is waiting for, if
// anything: a new one is said at once.
func (p *Progress) Show(done int64, what, note string) {
	line := Plural(done, "job") + " " + what
	if p.Total > 0 {
		line = fmt.Sprintf("%s of %s %s", Thousands(done), Plural(p.Total, "job"), what)
	}
	if note != "" {
		line += ", " + Plain(note)
	}
	if p.screen.Terminal {
		(&Bar{Out: p.out, Screen: p.screen}).Show(done, p.Total, line)
		return
	}
	if note == p.noted && p.clock().Before(p.next) {
		return
	}
	p.noted, p.next = note, p.clock().Add(plainEvery)
	fmt.Fprintln(p.out, line)
}

// Clear takes the bar away, for what is printed next.
func (p *Progress) Clear() {
	if p.screen.Terminal {
		fmt.Fprint(p.out, ClearLine)
	}
}
