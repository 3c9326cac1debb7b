package http_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAQueueIsLookedAtAndChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", object{"name": "n"})
	f.enqueue(t, "q", object{"name": "n", "delay": 60000})
	f.kill(t, "dead", 1)

	queue := get[object](t, f, queues+"q")
	require.Equal(t, object{
		"queueName": "q", "paused": false, "defaultPriority": 5.0, "aging": 0.0,
		"counts": object{"queueName": "q", "waiting": 1.0, "scheduled": 1.0, "retrying": 0.0, "running": 0.0, "dead": 0.0},
	}, queue)
	changed := call[object](t, f, http.MethodPatch, queues+"q", object{"defaultPriority": "high", "aging": 0.5})
	require.Equal(t, []any{10.0, 0.5}, []any{changed["defaultPriority"], changed["aging"]})
	changed = call[object](t, f, http.MethodPatch, queues+"q", object{"aging": 0})
	require.Equal(t, []any{10.0, 0.0}, []any{changed["defaultPriority"], changed["aging"]}, "what is left out stays")
	require.Equal(t, true, post[object](t, f, queues+"q/pause", nil)["paused"])
	require.Equal(t, false, post[object](t, f, queues+"q/resume", nil)["paused"])

	all := get[list[object]](t, f, "/api/v1/queues")
	require.Len(t, all.Items, 2)
	require.Equal(t, []any{"dead", "q"}, []any{all.Items[0]["queueName"], all.Items[1]["queueName"]})
	require.Equal(t, "never", get[object](t, f, queues+"never")["queueName"], "a queue needs no row")
}

func TestQueueSettingsThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for pointer, body := range map[string]string{
		"/defaultPriority": `{"defaultPriority": "hihg"}`,
		"/aging":           `{"aging": -1}`,
		"/colour":          `{"colour": "red"}`,
		"":                 `{}`,
	} {
		wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, queues+"q", body)
		require.Equal(t, pointer, wrong.Errors[0].Pointer)
	}
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, queues+"not%20a%20name/pause", nil)
}

func TestAQueueMayHaveASlashInItsName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "mail%2Fout", object{"name": "n"})
	require.Equal(t, "mail/out", get[object](t, f, queues+"mail%2Fout")["queueName"])
	require.Len(t, get[list[object]](t, f, "/api/v1/jobs?queueName=mail%2Fout").Items, 1)
	require.Equal(t, "mail/out", get[object](t, f, "/api/v1/queue/enhanced/mail%2Fout")["queueName"])
}

func TestWorkersAreListed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", object{"name": "n"})
	f.claim(t, "q", 1)
	workers := get[list[object]](t, f, "/api/v1/workers")
	require.Len(t, workers.Items, 1)
	require.Equal(t, []any{"v7", []any{"q"}, 1.0}, []any{workers.Items[0]["version"], workers.Items[0]["queues"], workers.Items[0]["running"]})
	require.Len(t, get[list[object]](t, f, "/api/v1/workers?queueName=q").Items, 1)
	require.Empty(t, get[list[object]](t, f, "/api/v1/workers?queueName=other").Items)
}

func TestChangesAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	post[object](t, f, queues+"q/pause", nil)
	post[object](t, f, queues+"other/pause", nil)
	log := get[list[object]](t, f, "/api/v1/audit-log?queueName=q")
	require.Len(t, log.Items, 1)
	require.Equal(t, "q", log.Items[0]["queueName"])
	first := get[list[object]](t, f, "/api/v1/audit-log?limit=1")
	require.Equal(t, "other", first.Items[0]["queueName"], "the newest first")
	require.Equal(t, "q", get[list[object]](t, f, "/api/v1/audit-log?limit=1&cursor="+first.Next).Items[0]["queueName"])
}

func TestProbesAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, object{"status": "ok"}, get[object](t, f, "/healthz"))
	require.Equal(t, object{"status": "ready"}, get[object](t, f, "/readyz"))
}
