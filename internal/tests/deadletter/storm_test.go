package deadletter_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

// blow is one verb of the storm: what it does and to which of the entries.
type blow struct {
	Verb string
	On   int
}

// Whatever redrives, edits, purges, scheduled retries and operations hit the same
// entries at once, every dead job ends in exactly one of: still dead, purged once,
// redriven once; and each way out is recorded once.
func TestVerbsAtOnceNeitherDoubleNorLoseADeadJob(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		queue := fmt.Sprintf("storm-%d", round)
		n := rapid.IntRange(1, 12).Draw(r, "entries")
		deaths := repeat(n, exhausted)
		for i := range deaths {
			deaths[i].Queue, deaths[i].Name = queue, string('a'+rune(i%3))
		}
		ids := f.kill(r, deaths...)
		due := rapid.SliceOfN(rapid.SampledFrom(ids), 0, n).Draw(r, "due")
		f.due(r, due...)
		storm := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(r *rapid.T) blow {
			return blow{
				rapid.SampledFrom([]string{"redrive", "edit", "purge", "purge a name", "retry", "start", "advance", "cancel"}).Draw(r, "verb"),
				rapid.IntRange(0, n-1).Draw(r, "on"),
			}
		}), 1, 5), 2, 5).Draw(r, "callers")

		told := &ledger{fresh: map[int64]int64{}}
		together(len(storm), func(caller int) {
			for _, b := range storm[caller] {
				if err := f.strike(queue, b, ids, told); err != nil {
					told.fail(fmt.Errorf("%v: %w", b, err))
				}
			}
		})
		require.NoError(r, told.err)
		f.settled(r, queue, ids, told)
	})
}

// ledger is what the callers were told.
type ledger struct {
	mu     sync.Mutex
	fresh  map[int64]int64 // by entry, the one new job that RedriveJob named
	retry  []int64
	purged int64
	err    error
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

func (l *ledger) note(id, fresh int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, told := l.fresh[id]; told && before != fresh {
		return fmt.Errorf("job %d was redriven as %d and as %d", id, before, fresh)
	}
	l.fresh[id] = fresh
	return nil
}

// strike does one verb; an error is one that no storm explains.
func (f *fixture) strike(queue string, b blow, ids []int64, told *ledger) error {
	ctx, cancel := soon()
	defer cancel()
	var data any
	switch b.Verb {
	case "edit":
		data = map[string]string{"edited": "yes"}
		fallthrough
	case "redrive":
		fresh, err := f.client.DLQ.RedriveJob(ctx, queue, entry(ids[b.On]), data)
		if errors.Is(err, penstock.ErrConflict) {
			return nil // it was purged
		} else if err != nil {
			return err
		}
		return told.note(ids[b.On], fresh)
	case "purge", "purge a name":
		filter := penstock.DeadFilter{}
		if b.Verb != "purge" {
			filter.Name = string('a' + rune(b.On%3))
		}
		n, err := f.client.DLQ.Purge(ctx, queue, 0, filter, nil)
		told.mu.Lock()
		defer told.mu.Unlock()
		told.purged += n
		return err
	case "retry":
		fresh, err := f.client.DLQ.ProcessScheduledRetries(ctx, queue)
		told.mu.Lock()
		defer told.mu.Unlock()
		told.retry = append(told.retry, fresh...)
		return err
	case "start":
		_, err := f.client.DLQ.Redrive(ctx, penstock.RedriveRequest{Queue: queue})
		if errors.Is(err, penstock.ErrConflict) {
			return nil
		}
		return err
	case "cancel":
		list, err := f.client.DLQ.ListRedrives(ctx, queue, 1)
		if err == nil && len(list) > 0 {
			_, err = f.client.DLQ.CancelRedrive(ctx, list[0].ID)
		}
		return err
	default:
		_, err := f.Pool.Exec(ctx, "UPDATE penstock.redrives SET moved_at = moved_at - interval '1 hour' WHERE queue = $1 AND state = 'running'", queue)
		if err == nil {
			_, err = f.Pool.Exec(ctx, "SELECT penstock.advance_redrives()")
		}
		return err
	}
}

// settled checks where every entry is after the storm.
func (f *fixture) settled(t tester, queue string, ids []int64, told *ledger) {
	t.Helper()
	dead := list[int64](t, f, "SELECT job_id FROM penstock.dead_jobs WHERE queue = $1", queue)
	purged := list[int64](t, f, "SELECT job_id FROM penstock.departures WHERE queue = $1 AND how = 'purged'", queue)
	redriven := list[int64](t, f, "SELECT job_id FROM penstock.departures WHERE queue = $1 AND how = 'redriven'", queue)
	require.Equal(t, ids, sorted(append(append(dead, purged...), redriven...)), "each in exactly one place, recorded once")
	require.EqualValues(t, len(purged), told.purged, "what purges counted")
	require.EqualValues(t, len(purged), ask[int](t, f,
		"SELECT coalesce(sum((after ->> 'jobs')::int), 0) FROM penstock.audit_log WHERE queue = $1 AND action = 'dead_jobs.purge'", queue))

	// Each redriven one has exactly one new job, waiting, that its departure names.
	require.ElementsMatch(t, redriven, list[int64](t, f, `SELECT j.origin_id FROM penstock.jobs j
		JOIN penstock.pending p ON p.job_id = j.id AND p.queue = j.queue
		JOIN penstock.departures l ON l.job_id = j.origin_id AND l.new_job_id = j.id WHERE j.queue = $1`, queue))
	require.Equal(t, len(ids)+len(redriven), ask[int](t, f, "SELECT count(*) FROM penstock.jobs WHERE queue = $1", queue))
	for id, fresh := range told.fresh {
		require.Equal(t, fresh, ask[int64](t, f, "SELECT new_job_id FROM penstock.departures WHERE job_id = $1", id))
	}
	for _, fresh := range told.retry {
		require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.departures WHERE new_job_id = $1", fresh))
	}
	require.Equal(t, ask[int](t, f, "SELECT count(*) FROM penstock.departures WHERE queue = $1 AND redrive_id IS NOT NULL", queue),
		ask[int](t, f, "SELECT coalesce(sum(redriven), 0) FROM penstock.redrives WHERE queue = $1", queue), "what operations counted")
	for i, state := range list[string](t, f, "SELECT state FROM penstock.job_states WHERE id = ANY ($1) ORDER BY id", ids) {
		require.Contains(t, []string{"dead", "purged", "redriven"}, state, ids[i])
	}
}

// A hundred entries, every verb at once on all of them, until nothing is left.
func TestAStormOnAHundredEntriesLeavesNoneBehind(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	deaths := repeat(100, exhausted)
	for i := range deaths {
		deaths[i].Queue, deaths[i].Name = "storm", string('a'+rune(i%3))
	}
	ids := f.kill(t, deaths...)
	f.due(t, ids[:50]...)
	told := &ledger{fresh: map[int64]int64{}}
	began := time.Now()
	together(8, func(caller int) {
		for i := range ids {
			b := blow{[]string{"redrive", "edit", "retry", "start", "advance", "purge a name", "redrive", "advance"}[caller], (i*7 + caller*13) % len(ids)}
			if caller == 5 && i < 90 {
				b.Verb = "redrive" // purges come late
			}
			if err := f.strike("storm", b, ids, told); err != nil {
				told.fail(fmt.Errorf("%v: %w", b, err))
			}
		}
	})
	require.NoError(t, told.err)
	f.settled(t, "storm", ids, told)
	require.Empty(t, f.dead(t, penstock.DeadQuery{}))
	require.Less(t, time.Since(began), patience)
}
