package penstock

import "time"

// pace tells a trickle of jobs from a stream. Postgres commits transactions that notify
// one after another, so notifications must end well before that is what bounds the
// enqueuers: they would stay slow because they notify, and notify because they are
// slow. How many such commits there can be in a second, a claim's own commit tells.
type pace struct {
	rate      float64 // jobs that ended per second, over about half a second
	ended     int64
	measured  time.Time
	claimCost time.Duration // of claims that brought something, smoothed
}

const (
	paceOver  = 500 * time.Millisecond
	leastBusy = 50   // jobs per second; below it, polls would find nothing nearly always
	mostBusy  = 2000 // from here a poll every 2 ms finds some nearly always
)

// claimed notes what a claim took that brought jobs.
func (p *pace) claimed(took time.Duration) {
	if p.claimCost == 0 {
		p.claimCost = took
	}
	p.claimCost += (took - p.claimCost) / 8
}

// measure is the rate now, ended being how many jobs have ended so far.
func (p *pace) measure(ended int64, now time.Time) float64 {
	elapsed := now.Sub(p.measured)
	if p.measured.IsZero() {
		p.ended, p.measured = ended, now
	} else if elapsed >= paceOver/10 {
		share := min(1, elapsed.Seconds()/paceOver.Seconds())
		p.rate += (float64(ended-p.ended)/elapsed.Seconds() - p.rate) * share
		p.ended, p.measured = ended, now
	}
	return p.rate
}

// busy is the rate from which polling spares the enqueuers their notifications: a third
// of what can be committed one after another.
func (p *pace) busy() float64 {
	if p.claimCost == 0 {
		return mostBusy
	}
	return min(max(1/p.claimCost.Seconds()/3, leastBusy), mostBusy)
}
