package deadletter_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// lines is the audit log about a queue ("" everything), the oldest first.
func lines(t *testing.T, f *fixture, queue string) []penstock.AuditLine {
	t.Helper()
	page, err := f.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: queue, Limit: 500})
	require.NoError(t, err)
	all := page.Items
	for i := range len(all) / 2 {
		all[i], all[len(all)-1-i] = all[len(all)-1-i], all[i]
	}
	return all
}

func TestEverySettingChangedByAVerbIsInTheAuditLogWithItsActor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.client.As("ann")
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		change func() error
		action string // of the last line
		field  string // that the last line shows changed
		before string
		after  string
	}{
		{"pause", func() error { return ann.Queues.Pause(ctx, "q") }, "queues.insert", "paused", "", "true"},
		{"resume", func() error { return ann.Queues.Resume(ctx, "q") }, "queues.update", "paused", "true", "false"},
		{
			"queue settings", func() error { return ann.Queues.Set(ctx, "q", penstock.QueueChange{DefaultPriority: penstock.High}) },
			"queues.update", "default_priority", "5", "10",
		},
		{"aging", func() error { return ann.Queues.Set(ctx, "q", penstock.QueueChange{Aging: ptr(0.5)}) }, "queues.update", "aging", "0", "0.5"},
		{
			"retry policy", func() error {
				return ann.Policies.Set(ctx, penstock.Policy{Queue: "q", Name: "*", MaxAttempts: ptr(9)})
			},
			"retry_policies.update", "max_attempts", "null", "9",
		},
		{"retry policy gone", func() error { return ann.Policies.Remove(ctx, "q", "*") }, "retry_policies.delete", "max_attempts", "9", ""},
		{
			"rule", func() error {
				return ann.Priorities.SetRule(ctx, penstock.PriorityRule{Queue: "q", Position: 1, Condition: "$.a == 1", Priority: penstock.High})
			},
			"priority_rules.insert", "priority", "", `"high"`,
		},
		{"rule gone", func() error { return ann.Priorities.RemoveRule(ctx, "q", 1) }, "priority_rules.delete", "priority", `"high"`, ""},
		{"level", func() error { return ann.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "top", Weight: 99}) }, "priority_levels.insert", "weight", "", "99"},
		{"tag", func() error { return ann.Priorities.SetTag(ctx, penstock.PriorityTag{Tag: "slow", Shift: -2}) }, "priority_tags.insert", "shift", "", "-2"},
		{
			"breaker", func() error { return ann.Breakers.Set(ctx, penstock.Breaker{Queue: "q", Name: "*", LeastAttempts: 30}) },
			"breakers.insert", "least_attempts", "", "30",
		},
		{"breaker gone", func() error { return ann.Breakers.Remove(ctx, "q", "*") }, "breakers.delete", "least_attempts", "30", ""},
		{
			"dead letter policy", func() error { return ann.DLQ.SetPolicy(ctx, penstock.DeadPolicy{Queue: "q", MaxGenerations: ptr(7)}) },
			"dead_policies.update", "max_generations", "null", "7",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.change())
			all := lines(t, f, "")
			line := all[len(all)-1]
			require.Equal(t, []string{"ann", "postgres", c.action}, []string{line.Actor, line.DBUser, line.Action})
			require.WithinDuration(t, time.Now(), line.At, patience)
			for side, want := range map[string]string{string(line.Before): c.before, string(line.After): c.after} {
				var row map[string]json.RawMessage
				if side != "" {
					require.NoError(t, json.Unmarshal([]byte(side), &row))
				}
				require.Equal(t, want, string(row[c.field]), side)
			}
		})
	}
}

func TestASettingChangedByPlainSQLIsInTheAuditLogToo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sql, want := range map[string]string{
		"UPDATE penstock.settings SET retention = '9 days'":                                                   "settings.update",
		"INSERT INTO penstock.queues (queue, paused) VALUES ('q', true)":                                      "queues.insert",
		"DELETE FROM penstock.priority_tags WHERE tag = 'urgent'":                                             "priority_tags.delete",
		"UPDATE penstock.dead_policies SET multiplier = 3":                                                    "dead_policies.update",
		"UPDATE penstock.retry_policies SET jitter = 0.3 WHERE queue = '*'":                                   "retry_policies.update",
		"UPDATE penstock.priority_levels SET weight = 98 WHERE level = 'critical'":                            "priority_levels.update",
		"INSERT INTO penstock.breakers (queue) VALUES ('q')":                                                  "breakers.insert",
		"DELETE FROM penstock.priority_rules WHERE queue = 'process-tts'":                                     "priority_rules.delete",
		"UPDATE penstock.queues SET paused = paused":                                                          "",
		"INSERT INTO penstock.workers (pid, concurrency, host, version, queues) VALUES (1, 1, '', '', '{q}')": "",
	} {
		before := len(lines(t, f, ""))
		f.exec(t, sql)
		all := lines(t, f, "")
		if want == "" {
			require.Len(t, all, before, "what changes no setting says nothing")
			continue
		}
		require.Greater(t, len(all), before, sql)
		line := all[len(all)-1]
		require.Equal(t, []string{"postgres", "postgres", want}, []string{line.Actor, line.DBUser, line.Action}, "the database user, when nobody is named")
	}
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT set_config('penstock.actor', $1, true)", short("b", 200))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT penstock.pause_queue('z')")
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, short("b", 128), lastLine(t, f, "z").Actor, "whom a session names")
}

func TestAnActorIsNamedForHisOwnChangesOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.As("ann").Queues.Pause(t.Context(), "a"))
	for i := range 12 { // every connection of the pool
		require.NoError(t, f.client.Queues.Pause(t.Context(), fmt.Sprint("b", i)))
		require.Equal(t, "postgres", lastLine(t, f, fmt.Sprint("b", i)).Actor)
	}
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.client.InTx(tx).As("ann").Queues.Pause(t.Context(), "c"))
	require.NoError(t, f.client.As("bob").InTx(tx).Queues.Pause(t.Context(), "d"))
	require.NoError(t, f.client.InTx(tx).Queues.Pause(t.Context(), "e"))
	require.NoError(t, tx.Commit(t.Context()))
	for queue, actor := range map[string]string{"a": "ann", "c": "ann", "d": "bob", "e": "postgres"} {
		require.Equal(t, actor, lastLine(t, f, queue).Actor, queue)
	}
}

func TestAChangeThatIsRolledBackIsNotInTheAuditLog(t *testing.T) { // P2
	t.Parallel()
	f := newFixture(t)
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.client.InTx(tx).As("ann").Queues.Pause(t.Context(), "q"))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Empty(t, lines(t, f, ""))
	require.Error(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: ptr(-1.0)}))
	require.Empty(t, lines(t, f, ""), "nor one that is refused")
}

func TestTheAuditLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.Queues.Pause(t.Context(), "q"))
	was := lines(t, f, "")
	for _, sql := range []string{
		"UPDATE penstock.audit_log SET actor = 'nobody'", "DELETE FROM penstock.audit_log", "TRUNCATE penstock.audit_log",
		"DELETE FROM penstock.audit_log WHERE false",
	} {
		_, err := f.Pool.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "PN403", pg.Code)
		require.Contains(t, pg.Message, "append-only")
	}
	require.Equal(t, was, lines(t, f, ""))
}

func TestTheAuditLogIsReadPageByPageAndByQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 10 {
		require.NoError(t, f.client.Queues.Pause(t.Context(), "q"))
		require.NoError(t, f.client.Queues.Resume(t.Context(), "q"))
		require.NoError(t, f.client.Queues.Pause(t.Context(), fmt.Sprint("r", i)))
	}
	read := func(queue string, limit int) []int64 {
		return walk(t, func(cursor string) (penstock.Page[penstock.AuditLine], error) {
			return f.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: queue, Limit: limit, Cursor: cursor})
		}, func(l penstock.AuditLine) int64 { return l.ID })
	}
	all := list[int64](t, f, "SELECT id FROM penstock.audit_log ORDER BY id DESC")
	require.Len(t, list[int64](t, f, "SELECT id FROM penstock.audit_log WHERE action LIKE 'queues.%'"), 30)
	for _, limit := range []int{1, 7, 10, 30, 500} {
		require.Equal(t, all, read("", limit))
		require.Len(t, read("q", limit), 20)
	}
	page, err := f.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: "q", Limit: 1})
	require.NoError(t, err)
	_, err = f.client.Audit.List(t.Context(), penstock.AuditQuery{Limit: 1, Cursor: page.Next})
	refused(t, err, "cursor")
	_, err = f.client.Audit.List(t.Context(), penstock.AuditQuery{Limit: 501})
	refused(t, err, "limit")
}
