package httpapi

import (
	"slices"
	"strings"
)

// mostQueuesListed bounds an answer that has a part for each queue.
const mostQueuesListed = 1000

// queuePage is a page of what there is for each queue, by the queue's name. The cursor is
// the last name of the page before; next is empty at the end.
func queuePage[T any](all []T, nameOf func(T) string, limit int, cursor string) (page []T, next string) {
	if limit == 0 {
		limit = mostQueuesListed
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(nameOf(a), nameOf(b)) })
	if cursor != "" {
		first, found := slices.BinarySearchFunc(all, cursor, func(one T, name string) int { return strings.Compare(nameOf(one), name) })
		if found {
			first++
		}
		all = all[first:]
	}
	if len(all) <= limit {
		return orEmpty(all), ""
	}
	return all[:limit], nameOf(all[limit-1])
}
