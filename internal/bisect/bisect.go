// Package bisect sends batches of which one item may be refused.
package bisect

// Send calls send with all items. When that fails and refused says that it failed for
// what one of the items holds, Send tries each half, until the bad item is alone: alone
// then decides about it. Any other error, or one of alone, ends Send and is returned.
func Send[T any](items []T, send func([]T) error, refused func(error) bool, alone func(T, error) error) error {
	err := send(items)
	switch {
	case err == nil || !refused(err):
		return err
	case len(items) == 1:
		return alone(items[0], err)
	}
	half := len(items) / 2
	if err := Send(items[:half], send, refused, alone); err != nil {
		return err
	}
	return Send(items[half:], send, refused, alone)
}
