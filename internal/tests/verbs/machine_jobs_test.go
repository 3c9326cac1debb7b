package sqltest_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The machine's verbs on jobs, and its leaps of the clock.

var (
	queues     = rapid.SampledFrom([]string{"north", "south", "east"})
	names      = rapid.SampledFrom([]string{"deploy", "index"})
	keys       = rapid.SampledFrom([]string{"", "", "", "k1", "k2"})
	priorities = rapid.SampledFrom([]any{nil, nil, 1, 7, 20, "high", "low"})
	weights    = map[any]int16{nil: 0, 1: 1, 7: 7, 20: 20, "high": 10, "low": 1}
	outcomes   = rapid.SampledFrom([]string{"completed", "failed", "failed", "dead", "snoozed", "released", "cancelled"})
	classes    = rapid.SampledFrom([]string{
		"", "IOError", "Timeout", "ValidationError", "Outer ValidationError", "Outer Inner", "Outer NotFoundError ValidationError",
	})
)

// order is one job as the JSON form of enqueue_many takes it; times in milliseconds.
type order struct {
	Name        string         `json:"name"`
	Data        map[string]int `json:"data"`
	Priority    any            `json:"priority,omitempty"`
	Delay       int64          `json:"delay,omitempty"`
	ExpiresIn   int64          `json:"expiresIn,omitempty"`
	Timeout     int64          `json:"timeout,omitempty"`
	MaxAttempts int16          `json:"maxAttempts,omitempty"`
	Retry       map[string]any `json:"retryStrategy"`
	Key         string         `json:"idempotencyKey,omitempty"`
}

func drawOrder(t *rapid.T) order {
	return order{
		Name: names.Draw(t, "name"), Data: map[string]int{"n": rapid.IntRange(0, 99).Draw(t, "data")},
		Priority: priorities.Draw(t, "priority"),
		Delay:    rapid.SampledFrom([]int64{0, 0, 600_000, 1_800_000}).Draw(t, "delay"),
		// Longer than a leap of the clock, or not.
		ExpiresIn:   rapid.SampledFrom([]int64{0, 0, 0, 3_600_000}).Draw(t, "expires in"),
		Timeout:     rapid.SampledFrom([]int64{0, 3_600_000}).Draw(t, "timeout"),
		MaxAttempts: rapid.SampledFrom([]int16{0, 1, 2}).Draw(t, "max attempts"),
		Retry: map[string]any{
			"type": "fixed", "jitter": 0,
			"delay": rapid.SampledFrom([]int{0, 700_000}).Draw(t, "retry delay"),
		},
		Key: keys.Draw(t, "key"),
	}
}

func (m *machine) Enqueue(t *rapid.T) {
	queue, orders := queues.Draw(t, "queue"), rapid.SliceOfN(rapid.Custom(drawOrder), 1, 4).Draw(t, "jobs")
	text, err := json.Marshal(orders)
	require.NoError(t, err)
	enqueued := one[[]int64](t, m.conn, "SELECT penstock.enqueue_many($1, $2::jsonb)", queue, string(text))
	require.Len(t, enqueued, len(orders))
	for i, id := range enqueued {
		key := queueKey{queue, orders[i].Key}
		if orders[i].Key != "" {
			if holder := m.holder(key); holder != 0 {
				require.Equal(t, holder, id, "the same key gives the same job")
				continue
			}
			m.Keys[key] = keyRow{key, id, true}
		}
		require.NotContains(t, m.Jobs, id, "a new job has a new id")
		m.add(t, queue, id, orders[i])
	}
}

// add foretells the rows of a new job. When it was born is the database's to say.
func (m *machine) add(t *rapid.T, queue string, id int64, o order) {
	job := jobRow{
		ID: id, Queue: queue, Name: o.Name, Data: fmt.Sprintf(`{"n": %d}`, o.Data["n"]), Asked: weights[o.Priority],
		MaxAttempts: o.MaxAttempts, Timeout: o.Timeout * 1000, RetryDelay: int64(o.Retry["delay"].(int)) * 1000,
	}
	job.Born = one[int64](t, m.conn, "SELECT "+micros("enqueued_at")+" FROM penstock.jobs WHERE id = $1", id)
	if o.ExpiresIn > 0 {
		job.ExpiresAt = job.Born + o.ExpiresIn*1000
	}
	m.Jobs[id] = job
	priority := cmp.Or(job.Asked, usualPriority)
	m.Pending[id] = pendingRow{place{id, queue, o.Name, priority}, counts{}, 0, job.ExpiresAt, job.Timeout}
	m.fresh[id] = o.Delay * 1000
}

func (m *machine) Claim(t *rapid.T) {
	queue, by, n := queues.Draw(t, "queue"), m.anyWorker(t), rapid.IntRange(1, 5).Draw(t, "limit")
	if _, lives := m.Workers[by]; !lives {
		refused(t, try(m.conn, "SELECT penstock.claim($1, $2, $3)", queue, by, n), "PN410", "")
		return
	}
	leased, mayExpire := m.claim(queue, by, n)
	got := claim(t, m.conn, queue, by, n)
	require.Equal(t, leased, ids(got), "what is claimed, in order")
	for _, l := range got {
		require.Equal(t, m.Running[l.ID].Attempt, l.Attempt)
	}
	m.mayExpire = mayExpire
}

// Finish says something of attempts that run, ran, or never did.
func (m *machine) Finish(t *rapid.T) {
	queue := queues.Draw(t, "queue")
	var known []attemptKey
	for _, id := range sorted(m.Jobs) {
		if r, runs := m.Running[id]; runs {
			known = append(known, attemptKey{id, r.Attempt}, attemptKey{id, r.Attempt}, attemptKey{id, r.Attempt + 1})
		}
		for attempt := int32(1); attempt < 4; attempt++ {
			if _, past := m.Attempts[attemptKey{id, attempt}]; past {
				known = append(known, attemptKey{id, attempt})
			}
		}
	}
	if len(known) == 0 {
		t.Skip("nothing ever ran")
	}
	words := rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, 5, rapid.ID).Draw(t, "attempts")
	slices.SortFunc(words, func(a, b attemptKey) int { return cmp.Compare(a.ID, b.ID) })
	var all []said
	plain := rapid.Bool().Draw(t, "plain successes")
	for i, word := range words {
		if i > 0 && words[i-1].ID == word.ID {
			continue // one word per job in a call: in what order they count is open
		}
		s := said{attemptKey: word, Outcome: "completed", Delay: -1}
		if !plain {
			s.Outcome, s.Classes = outcomes.Draw(t, "outcome"), classes.Draw(t, "classes")
			s.Message = rapid.SampledFrom([]string{"", workerSaid}).Draw(t, "message")
			s.Result = rapid.SampledFrom([]string{"", `{"ok": 1}`}).Draw(t, "result")
			s.Delay = rapid.SampledFrom([]int64{-1, 0, 11 * minute}).Draw(t, "delay")
		}
		all = append(all, s)
	}
	expected := map[attemptKey]answer{}
	for _, s := range all {
		expected[s.attemptKey] = m.finish(queue, s)
	}
	require.Equal(t, expected, tell(t, m.conn, queue, all, plain))
}

// tell calls finish and returns its answers.
func tell(t tester, q querier, queue string, all []said, plain bool) map[attemptKey]answer {
	var jobs []int64
	var attempts []int32
	var outcomes, classes, messages []string
	var results []*string
	var delays []time.Duration
	for _, s := range all {
		jobs, attempts = append(jobs, s.ID), append(attempts, s.Attempt)
		outcomes, classes, messages = append(outcomes, s.Outcome), append(classes, s.Classes), append(messages, s.Message)
		delays = append(delays, time.Duration(s.Delay)*time.Microsecond)
		result := &s.Result
		if s.Result == "" {
			result = nil
		}
		results = append(results, result)
	}
	sql, args := "SELECT job_id, attempt, status, coalesce(outcome, ''), coalesce(state, '') FROM penstock.finish", []any{queue, jobs, attempts}
	if plain {
		sql += "($1, $2, $3)"
	} else {
		sql += "($1, $2, $3, $4, $5, $6, NULL, $7::text[]::jsonb[], $8)"
		args = append(args, outcomes, classes, messages, results, delays)
	}
	type row struct {
		attemptKey
		answer
	}
	said := rows(t, q, pgx.RowToStructByPos[row], sql, args...)
	answers := map[attemptKey]answer{}
	for _, r := range said {
		require.NotContains(t, answers, r.attemptKey, "one answer per attempt")
		answers[r.attemptKey] = r.answer
	}
	return answers
}

// Complete is the transactional completion: a lost lease fails the transaction.
func (m *machine) Complete(t *rapid.T) {
	if len(m.Jobs) == 0 {
		t.Skip("no job yet")
	}
	id := rapid.SampledFrom(sorted(m.Jobs)).Draw(t, "job")
	key, queue := attemptKey{id, int32(rapid.IntRange(1, 3).Draw(t, "attempt"))}, m.Jobs[id].Queue
	expected := m.finish(queue, said{attemptKey: key, Outcome: "completed", Result: `{"done": true}`})
	err := try(m.conn, `SELECT penstock.complete($1, $2, $3, '{"done": true}')`, queue, id, key.Attempt)
	switch expected.Status {
	case "lease_lost":
		refused(t, err, "PN409", "")
	case "already_done":
		refused(t, err, "PN208", "")
	default:
		require.NoError(t, err)
	}
}

func (m *machine) Cancel(t *rapid.T) {
	id := rapid.SampledFrom(append(sorted(m.Jobs), 17)).Draw(t, "job")
	word := one[*string](t, m.conn, "SELECT penstock.cancel($1)", id)
	if _, known := m.Jobs[id]; !known {
		require.Nil(t, word)
		return
	}
	require.NotNil(t, word)
	if _, waits := m.Pending[id]; waits {
		require.Equal(t, "cancelled", *word)
		m.retire(id, "cancelled")
	} else if r, runs := m.Running[id]; runs {
		require.Equal(t, "cancelling", *word)
		r.Cancel = true
		m.Running[id] = r
	} else {
		require.Equal(t, "finished", *word)
	}
}

func (m *machine) ExpireJobs(t *rapid.T) {
	var over []int64
	for _, id := range sorted(m.Pending) {
		if m.expired(m.Pending[id]) {
			over = append(over, id)
			m.retire(id, "expired")
		}
	}
	require.Equal(t, len(over), one[int](t, m.conn, "SELECT penstock.expire_jobs()"))
}

func (m *machine) PruneKeys(t *rapid.T) {
	gone := 0
	maps.DeleteFunc(m.Keys, func(k queueKey, _ keyRow) bool {
		free := m.holder(k) == 0
		if free {
			gone++
		}
		return free
	})
	require.Equal(t, gone, one[int](t, m.conn, "SELECT penstock.prune_keys()"))
}

func (m *machine) Pause(t *rapid.T) {
	queue := queues.Draw(t, "queue")
	m.paused[queue] = !m.paused[queue]
	do(t, m.conn, `INSERT INTO penstock.queues (queue, paused) VALUES ($1, $2)
		ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused`, queue, m.paused[queue])
}

// Leap moves the clock, as far as some jobs can tell.
func (m *machine) Leap(t *rapid.T) {
	some := subset(t, sorted(m.Pending), "moves")
	do(t, m.conn, `UPDATE penstock.pending SET run_at = run_at - interval '20 minutes' WHERE job_id = ANY ($1)`, some)
	for _, id := range some {
		p := m.Pending[id]
		p.RunAt -= 20 * minute
		m.Pending[id] = p
	}
}

// Expire brings the end of the wait for some jobs that have one.
func (m *machine) Expire(t *rapid.T) {
	some := subset(t, sorted(m.Jobs), "expires")
	do(t, m.conn, `UPDATE penstock.jobs SET expires_at = expires_at - interval '2 hours' WHERE id = ANY ($1)`, some)
	do(t, m.conn, `UPDATE penstock.pending SET expires_at = expires_at - interval '2 hours' WHERE job_id = ANY ($1)`, some)
	for _, id := range some {
		if job := m.Jobs[id]; job.ExpiresAt > 0 {
			job.ExpiresAt -= 2 * hour
			m.Jobs[id] = job
		}
		if p := m.Pending[id]; p.ExpiresAt > 0 {
			p.ExpiresAt -= 2 * hour
			m.Pending[id] = p
		}
	}
}

// Dawdle lets some leases pass their deadline.
func (m *machine) Dawdle(t *rapid.T) {
	some := subset(t, sorted(m.Running), "dawdles")
	do(t, m.conn, `UPDATE penstock.running SET claimed_at = claimed_at - interval '1 day', deadline = deadline - interval '1 day'
		WHERE job_id = ANY ($1)`, some)
	for _, id := range some {
		r := m.Running[id]
		r.Overdue = true
		m.Running[id] = r
	}
}

// Forget lets a day pass for every idempotency key.
func (m *machine) Forget(t *rapid.T) {
	do(t, m.conn, "UPDATE penstock.idempotency_keys SET until = until - interval '25 hours'")
	for k, held := range m.Keys {
		held.Bound = false
		m.Keys[k] = held
	}
}
