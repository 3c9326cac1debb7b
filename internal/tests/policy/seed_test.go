package policy_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// addJob('deploy-contract', 'deploy', {…}): basic job with automatic priority
// determination.
func TestTheSeedsBasicJobIsCritical27(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	data := json.RawMessage(`{
		"environment": "production",
		"contractCode": "0x123...",
		"metadata": {"tags": ["urgent", "production"]}
	}`)
	d := f.decide(t, "deploy-contract", string(data))
	require.Equal(t, penstock.PriorityDecision{
		Weight: 27, Level: "critical", Rule: 10, Base: 20, Tags: []string{"production", "urgent"}, Errors: map[int]string{},
	}, d)

	type deploy struct {
		Environment, ContractCode string
		Metadata                  struct{ Tags []string }
	}
	ran := make(chan penstock.Job[deploy], 1)
	f.work(t, "deploy-contract", func(w *penstock.Worker) {
		penstock.Handle(w, "deploy-contract", "deploy", func(_ context.Context, job *penstock.Job[deploy]) error {
			ran <- *job
			return nil
		})
	})
	id := f.enqueue(t, penstock.NewJob{Queue: "deploy-contract", Name: "deploy", Data: data})
	job := next(t, ran)
	require.Equal(t, id, job.ID)
	require.Equal(t, 27, job.Priority)
	require.Equal(t, "0x123...", job.Data.ContractCode)
	require.Equal(t, "completed", f.nextEnd(t).State)
	require.Equal(t, "critical", one[string](t, f, `SELECT penstock.priority_level(27)`))
}

// addEnhancedJob('process-tts', 'tts-process', {…, retryStrategy}, {delay, priority}):
// enhanced job with full configuration.
//
// The seed's retryStrategy stands within the data. Data is the handler's alone: it is
// handed over as it came, and nothing in it but metadata.tags (and what rules look at)
// decides how a job is treated. A strategy of the job's own is the option of that name.
func TestTheSeedsEnhancedJobIsDelayedHighAndRetriedByItsOptionOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	data := json.RawMessage(`{
		"text": "Hello world",
		"voiceId": "voice-123",
		"realTime": true,
		"retryStrategy": {"type": "exponential", "delay": 1000, "maxAttempts": 5}
	}`)
	// As any language spells it: milliseconds, and a priority of level and weight.
	enqueue := func(options string) int64 {
		return one[int64](t, f, `SELECT (penstock.enqueue_many('process-tts', '{tts-process}', ARRAY[$1]::jsonb[], ARRAY[$2]::jsonb[]))[1]`,
			data, json.RawMessage(options))
	}
	f.policy(t, "process-tts", "*", `{"jitter": 0}`)
	plain := enqueue(`{"delay": 5000, "priority": {"level": "high", "weight": 10}}`)
	own := enqueue(`{"delay": 5000, "priority": {"level": "high", "weight": 10},
		"retryStrategy": {"type": "exponential", "delay": 1000, "maxAttempts": 5}}`)
	for _, id := range []int64{plain, own} {
		require.Equal(t, 5*time.Second, one[time.Duration](t, f, `SELECT p.run_at - j.enqueued_at FROM penstock.pending p
			JOIN penstock.jobs j ON j.id = p.job_id WHERE p.job_id = $1`, id))
		info, err := f.client.Job(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, penstock.Scheduled, info.State)
		require.Equal(t, 10, info.Priority)
		require.JSONEq(t, string(data), string(info.Data))
	}
	require.Empty(t, f.claim(t, f.register(t), "process-tts", 10), "not before the delay")

	f.exec(t, `UPDATE penstock.pending SET run_at = now()`)
	leases := f.claim(t, f.register(t), "process-tts", 10)
	require.Equal(t, []int64{plain, own}, ids(leases))
	require.Equal(t, []string{"retrying", "retrying"}, f.fail(t, "process-tts", leases...))
	require.Equal(t, 2*time.Second, f.wait(t, plain), "the queue's policy: the data's strategy is only data")
	require.Equal(t, time.Second, f.wait(t, own), "the option's")
	attempts := func(id int64) (n int) {
		for range 10 {
			f.exec(t, `UPDATE penstock.pending SET run_at = now() WHERE job_id = $1`, id)
			leases := f.claim(t, f.register(t), "process-tts", 1)
			require.Equal(t, []int64{id}, ids(leases))
			if f.fail(t, "process-tts", leases...)[0] == "dead" {
				return int(leases[0].Attempt)
			}
		}
		return 0
	}
	require.Equal(t, 3, attempts(plain), "process-tts has 3 attempts")
	require.Equal(t, 5, attempts(own))
}
