package bull

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

var now = time.UnixMilli(1_700_000_000_000).UTC()

func TestAJobIsTranslated(t *testing.T) {
	none := 0.0
	half := 0.5
	for _, c := range []struct {
		name, line string
		want       Job
	}{
		{
			"what Bull's toJSON gives",
			`{"id":"7","name":"welcome","data":{"to":"ada"},"opts":{"attempts":3,"backoff":{"type":"exponential","delay":1000},"delay":0,"priority":1,"timeout":5000},
			"progress":0,"delay":0,"timestamp":1699999999000,"attemptsMade":1,"failedReason":null,"stacktrace":[],"returnvalue":null,"finishedOn":null,"processedOn":null}`,
			Job{NewJob: penstock.NewJob{
				Queue: "mail", Name: "welcome", Data: json.RawMessage(`{"to":"ada"}`), Priority: "20", MaxAttempts: 2, Timeout: 5 * time.Second, IdempotencyKey: "bull:7",
				Retry: &penstock.RetryStrategy{Type: penstock.Exponential, Delay: time.Second, Multiplier: 2, Jitter: &none},
			}},
		},
		{
			"what BullMQ's asJSON gives, in which documents and numbers are text",
			`{"id":"9","name":"n","data":"{\"a\":1}","opts":"{\"attempts\":5,\"backoff\":{\"type\":\"fixed\",\"delay\":250,\"jitter\":0.5}}","timestamp":"1699999999000","delay":"60000","queueQualifiedName":"bull:audio"}`,
			Job{NewJob: penstock.NewJob{
				Queue: "mail", Name: "n", Data: json.RawMessage(`{"a":1}`), MaxAttempts: 5, IdempotencyKey: "bull:9", RunAt: time.UnixMilli(1_700_000_059_000).UTC(),
				Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 250 * time.Millisecond, Jitter: &half},
			}},
		},
		{"a job without a name", `{"id":1,"name":"__default__","opts":{}}`, Job{NewJob: penstock.NewJob{Queue: "mail", Name: "default", IdempotencyKey: "bull:1"}}},
		{"a text that looks like JSON stays a text", `{"id":1,"name":"n","data":"{}","opts":{}}`, Job{NewJob: penstock.NewJob{Queue: "mail", Name: "n", Data: json.RawMessage(`"{}"`), IdempotencyKey: "bull:1"}}},
		{"a delay that is over", `{"id":1,"name":"n","timestamp":1600000000000,"opts":{"delay":5}}`, Job{NewJob: penstock.NewJob{Queue: "mail", Name: "n", IdempotencyKey: "bull:1"}}},
		{"a backoff in plain milliseconds", `{"id":1,"name":"n","opts":{"backoff":0}}`, Job{NewJob: penstock.NewJob{
			Queue: "mail", Name: "n", IdempotencyKey: "bull:1", Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: penstock.NoDelay, Jitter: &none},
		}}},
		{
			"a backoff of the application's own, and what else has no counterpart",
			`{"id":1,"name":"n","parentKey":"bull:x:2","opts":{"lifo":true,"backoff":{"type":"mine"}}}`,
			Job{NewJob: penstock.NewJob{Queue: "mail", Name: "n", IdempotencyKey: "bull:1"}, Notes: []string{`backoff "mine"`, "lifo", "parent"}},
		},
		{"a finished job", `{"id":1,"name":"n","finishedOn":1699999999000}`, Job{NewJob: penstock.NewJob{Queue: "mail", Name: "n"}, Skip: Finished}},
		{"a repeatable job", `{"id":1,"name":"n","opts":{"repeat":{"cron":"* * * * *"}}}`, Job{NewJob: penstock.NewJob{Queue: "mail", Name: "n"}, Skip: Repeatable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read([]byte(c.line), "mail", now)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestTheQueueIsThatOfTheCallElseOfTheLine(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":1,"name":"n","queueName":"audio"}`:               "audio",
		`{"id":1,"name":"n","queueQualifiedName":"bull:video"}`: "video",
	} {
		job, err := Read([]byte(line), "", now)
		require.NoError(t, err)
		require.Equal(t, want, job.Queue)
	}
}

func TestPrioritiesKeepTheirOrder(t *testing.T) {
	for given, want := range map[string]penstock.Priority{"0": "", "1": "20", "2": "19", "11": "10", "16": "5", "20": "1", "21": "1", "2097152": "1"} {
		job, err := Read([]byte(`{"id":1,"name":"n","opts":{"priority":`+given+`}}`), "mail", now)
		require.NoError(t, err)
		require.Equal(t, want, job.Priority, given)
	}
}

func TestAWrongLineNamesItsField(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":1,`:          "must be a job as JSON",
		`[]`:                "must be a job as JSON",
		`{"name":"n"}`:      "id: the line has none",
		`{"id":1,"name":7}`: "name: must not be a number",
		`{"id":1,"name":"n","opts":{"priority":-1}}`:    "opts.priority",
		`{"id":1,"name":"n","opts":{"priority":1.5}}`:   "opts.priority",
		`{"id":1,"name":"n","opts":{"attempts":1000}}`:  "opts.attempts",
		`{"id":1,"name":"n","opts":{"backoff":"soon"}}`: "opts.backoff",
		`{"id":1,"name":"n","opts":{"delay":"soon"}}`:   "opts",
	} {
		_, err := Read([]byte(line), "mail", now)
		require.ErrorContains(t, err, want, line)
	}
	_, err := Read([]byte(`{"id":1,"name":"n"}`), "", now)
	require.ErrorContains(t, err, "--queue")
}

func FuzzReadNeverPanics(f *testing.F) {
	f.Add([]byte(`{"id":1,"name":"n","data":"{}","opts":"{}","delay":"1e300","timestamp":-1e300}`))
	f.Fuzz(func(_ *testing.T, line []byte) { _, _ = Read(line, "", now) })
}
