package maintain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a look costs can grow without bound while a snapshot is held; what has to be done
// for the dead may take long and is never put off.
func TestOnlyLooksThatFindNothingArePaced(t *testing.T) { // P9
	t.Parallel()
	look := step{every: 5 * time.Second, paced: true}
	require.Equal(t, 5*time.Second, look.pause(time.Millisecond, false))
	require.Equal(t, 80*time.Second, look.pause(2*time.Second, false))
	require.Equal(t, mostPause, look.pause(time.Hour, false))
	require.Equal(t, 5*time.Second, look.pause(time.Minute, true))
	burial := step{every: beatPoll}
	require.Equal(t, beatPoll, burial.pause(time.Minute, false))
}
