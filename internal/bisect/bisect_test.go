package bisect

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var errBad = errors.New("bad item")

func TestOnlyTheBadItemsAreLeftOut(t *testing.T) {
	t.Parallel()
	for size := 1; size < 20; size++ {
		for bad := range size {
			items := make([]int, size)
			for i := range items {
				items[i] = i
			}
			var sent, left []int
			err := Send(items, func(part []int) error {
				if slices.Contains(part, bad) {
					return errBad
				}
				sent = append(sent, part...)
				return nil
			}, func(err error) bool { return errors.Is(err, errBad) }, func(i int, err error) error {
				require.ErrorIs(t, err, errBad)
				left = append(left, i)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, []int{bad}, left)
			require.Equal(t, slices.DeleteFunc(items, func(i int) bool { return i == bad }), append([]int{}, sent...), "in order")
		}
	}
}

func TestAnotherErrorEndsIt(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	calls := 0
	err := Send([]int{1, 2, 3}, func([]int) error { calls++; return lost }, func(err error) bool { return err == errBad }, nil)
	require.ErrorIs(t, err, lost)
	require.Equal(t, 1, calls)
	err = Send([]int{1, 2}, func(part []int) error { return errBad }, func(error) bool { return true }, func(int, error) error { return lost })
	require.ErrorIs(t, err, lost)
}
