package worker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// A platform stops a process with SIGTERM and kills it after its grace. The worker has
// said that it drains: what it still ran is lost, but it did not crash.
func TestAKillDuringAShutdownIsNoCrashOfItsJobs(t *testing.T) { // P1, P13
	t.Parallel()
	f := newFixture(t)
	f.sweep(t, shortLease)
	id := f.enqueue(t, penstock.NewJob{Name: "stubborn"})
	for deploy := 1; deploy <= 3; deploy++ {
		p := f.spawn(t, childSetup{Lease: shortLease})
		r := p.awaitJob(t, "handling", id)
		require.Zero(t, r.Crashes, "deploy %d", deploy)
		p.say(t, "stop")
		time.Sleep(500 * time.Millisecond) // it has announced its shutdown; the handler does not end
		p.kill(t)
		f.buried.await(t, "the burial of a killed worker", deploy, func(penstock.BuryEvent) bool { return true })
		require.NotEqual(t, penstock.DeadState, f.job(t, id).State, "dead after %d deploys", deploy)
	}
	last := f.spawn(t, childSetup{Lease: shortLease})
	last.awaitJob(t, "handling", id)
	last.say(t, "go")
	last.awaitJob(t, "end", id)
	require.Equal(t, penstock.Completed, f.job(t, id).State)
	last.stop(t)
}
