package httpapi

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesOfQueuesShowEachQueueOnce(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range 2500 {
		all = append(all, fmt.Sprintf("queue-%04d", 2499-i))
	}
	name := func(queue string) string { return queue }
	var seen []string
	for cursor, pages := "", 1; ; pages++ {
		page, next := queuePage(all, name, 0, cursor)
		require.LessOrEqual(t, len(page), 1000)
		seen = append(seen, page...)
		if cursor = next; next == "" {
			require.Equal(t, 3, pages)
			break
		}
	}
	require.Len(t, seen, 2500)
	require.IsIncreasing(t, seen)

	page, next := queuePage([]string{"c", "a"}, name, 1, "b") // one that is gone since
	require.Equal(t, []string{"c"}, page)
	require.Empty(t, next)
	page, _ = queuePage[string](nil, name, 1, "")
	require.NotNil(t, page)
}
