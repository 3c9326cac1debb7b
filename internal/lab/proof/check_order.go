package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// P10: within a queue by priority, run_at, id, among what a claim could see. A claim
// cannot see rows that another has locked, nor commits after its snapshot; so what
// breaks the promise is a job that claims pass over for longer than any of these last.

// order collects the claims and waits of every queue.
type order struct{ queues map[string]*queueOrder }

type queueOrder struct {
	claims map[int64]*claim // by transaction
	waits  []wait
	open   *wait // of the job being seen
}

// rank is a job's place in its queue; the lesser goes first.
type rank struct {
	priority int16
	runAt    time.Time
	job      int64
}

func (r rank) compare(s rank) int {
	return cmp.Or(-cmp.Compare(r.priority, s.priority), r.runAt.Compare(s.runAt), cmp.Compare(r.job, s.job))
}

// claim is a committed claim: when its snapshot was taken, and the last of what it took.
type claim struct {
	began, committed time.Time
	last             rank
}

// wait is a job's stay in pending: when it could be seen, and the claim that took it.
type wait struct {
	rank
	from, until time.Time
}

func (o *order) saw(s *Step) {
	q := o.queues[s.Queue]
	if q == nil {
		q = &queueOrder{claims: map[int64]*claim{}}
		o.queues[s.Queue] = q
	}
	switch s.What {
	case Waits:
		from := s.Committed
		if s.RunAt.After(from) {
			from = s.RunAt
		}
		q.open = &wait{rank: rank{s.Priority, s.RunAt, s.Job}, from: from}
	case Leased:
		r := rank{s.Priority, s.RunAt, s.Job}
		c := q.claims[s.Tx]
		if c == nil {
			c = &claim{s.Began, s.Committed, r}
			q.claims[s.Tx] = c
		} else if r.compare(c.last) > 0 {
			c.last = r
		}
		if w := q.open; w != nil && w.job == s.Job {
			w.until = s.Began
			if w.until.Sub(w.from) > time.Second { // the others were passed over by nobody for long
				q.waits = append(q.waits, *w)
			}
			q.open = nil
		}
	}
}

func (j *judge) concludeOrder() {
	for name, q := range j.order.queues {
		claims := make([]*claim, 0, len(q.claims))
		for _, c := range q.claims {
			claims = append(claims, c)
		}
		slices.SortFunc(claims, func(a, b *claim) int { return a.began.Compare(b.began) })
		for _, w := range q.waits {
			j.passedOver(name, w, claims)
		}
	}
}

// passedOver looks for the first and the last claim that took a job of lower rank while
// w could be seen.
func (j *judge) passedOver(queue string, w wait, claims []*claim) {
	if w.until.Sub(w.from) <= j.limits.PassedOver {
		return
	}
	at, _ := slices.BinarySearchFunc(claims, w.from, func(c *claim, t time.Time) int { return c.began.Compare(t) })
	end, _ := slices.BinarySearchFunc(claims, w.until, func(c *claim, t time.Time) int { return c.began.Compare(t) })
	over := func(c *claim) bool { return c.committed.Before(w.until) && c.last.compare(w.rank) > 0 }
	first := slices.IndexFunc(claims[at:end], over)
	if first < 0 {
		return
	}
	first += at
	last := end - 1
	for !over(claims[last]) {
		last--
	}
	from, to := claims[first].began, claims[last].began
	hidden := slices.ContainsFunc(j.faults, func(f Fault) bool { return f.Hides && f.overlaps(from, to) })
	if to.Sub(from) > j.limits.PassedOver && !hidden {
		j.broken(Violation{
			Promise: "P10", Kind: "order broken",
			Text: fmt.Sprintf("job %d of queue %s (priority %d) could be claimed from %s to %s, and claims passed it over for %.1f s",
				w.job, queue, w.priority, w.from.Format(time.TimeOnly), w.until.Format(time.TimeOnly), to.Sub(from).Seconds()),
		})
	}
}
