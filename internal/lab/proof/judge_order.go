package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// P10: within a queue jobs are claimed by priority, run_at, id, among those visible to
// the claim. A claim cannot see rows that another has locked, nor commits after its
// snapshot. So the promise is broken if claims pass over a job for longer than either
// of these lasts.

// order collects the claims and waits of every queue.
type order struct{ queues map[string]*queueOrder }

type queueOrder struct {
	claims map[int64]*claim // by transaction
	waits  []wait
	open   *wait // of the current job
}

// rank is a job's place in its queue; the lower rank goes first.
type rank struct {
	priority int16
	runAt    time.Time
	job      int64
}

func (r rank) compare(s rank) int {
	return cmp.Or(-cmp.Compare(r.priority, s.priority), r.runAt.Compare(s.runAt), cmp.Compare(r.job, s.job))
}

// claim is a committed claim: the time of its snapshot, and the last job it took.
type claim struct {
	began, committed time.Time
	last             rank
}

// wait is a job's stay in pending: when it became visible, and when a claim took it.
type wait struct {
	rank
	from, until time.Time
}

func (o *order) add(s *Step) {
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
			if w.until.Sub(w.from) > time.Second { // shorter waits cannot break the limit
				q.waits = append(q.waits, *w)
			}
			q.open = nil
		}
	}
}

func (j *judge) finishOrder() {
	for name, q := range j.order.queues {
		claims := make([]*claim, 0, len(q.claims))
		for _, c := range q.claims {
			claims = append(claims, c)
		}
		slices.SortFunc(claims, func(a, b *claim) int { return a.began.Compare(b.began) })
		for _, w := range q.waits {
			j.checkPassedOver(name, w, claims)
		}
	}
}

// checkPassedOver looks for the first and the last claim that took a job of higher rank
// while w was visible.
func (j *judge) checkPassedOver(queue string, w wait, claims []*claim) {
	if w.until.Sub(w.from) <= j.limits.MaxPassedOver {
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
	hidden := slices.ContainsFunc(j.faults, func(f Fault) bool { return f.HidesRows && f.overlaps(from, to) })
	if to.Sub(from) > j.limits.MaxPassedOver && !hidden {
		j.report(Violation{
			Promise: "P10", Kind: "order broken",
			Text: fmt.Sprintf("job %d of queue %s (priority %d) could be claimed from %s to %s, but claims passed over it for %.1f s",
				w.job, queue, w.priority, w.from.Format(time.TimeOnly), w.until.Format(time.TimeOnly), to.Sub(from).Seconds()),
		})
	}
}
