package maintain

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a look costs can grow without bound while a snapshot is held; what the dead left is
// never put off for that.
func TestOnlyLooksThatFindNothingArePaced(t *testing.T) { // P9
	t.Parallel()
	now := time.Now()
	went := now.Add(-time.Hour)
	pause := func(s step) time.Duration {
		s.began, s.every = now, 5*time.Second
		return s.due(went).Sub(now)
	}
	second := [2]time.Duration{time.Second, 2 * time.Second}
	require.Equal(t, 5*time.Second, pause(step{paced: true}))
	require.Equal(t, 40*time.Second, pause(step{paced: true, took: second}))
	require.Equal(t, mostPause, pause(step{paced: true, took: [2]time.Duration{time.Hour, time.Hour}}))
	require.Equal(t, 5*time.Second, pause(step{took: second}), "burials")
	went = now.Add(-unsettled / 2)
	require.Equal(t, 5*time.Second, pause(step{paced: true, took: second}), "a worker went just now")
}

func TestALookThatFoundSomethingOrFailedIsNotPaced(t *testing.T) {
	t.Parallel()
	s := step{paced: true, took: [2]time.Duration{time.Hour, time.Hour}}
	s.do = func(context.Context) (bool, error) { return true, nil }
	require.NoError(t, s.run(t.Context()))
	require.Zero(t, s.took[0])
	s.do = func(context.Context) (bool, error) { return false, errors.New("no luck") }
	require.Error(t, s.run(t.Context()))
	require.Equal(t, [2]time.Duration{}, s.took)
	s.do = func(context.Context) (bool, error) { return false, nil }
	require.NoError(t, s.run(t.Context()))
	require.Positive(t, s.took[0])
}

func TestTheVigilNotesWhenAWorkerWent(t *testing.T) { // P9
	t.Parallel()
	w := newWatcher()
	w.polls(3)
	require.Zero(t, w.missedAt)
	w.observe(w.now, nil)
	require.Equal(t, w.now, w.missedAt)
}
