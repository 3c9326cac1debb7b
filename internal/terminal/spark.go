package terminal

import (
	"slices"
	"strings"
)

// Unknown is a value of which a sparkline shows nothing.
const Unknown = -1

var heights = []rune("▁▂▃▄▅▆▇█")

// Spark draws the last n values as bars, the greatest of them in full height. Nothing has the
// lowest bar, anything else a higher one. Unknown values, and those before the first, are blank.
func Spark(values []int64, n int) string {
	values = values[max(0, len(values)-n):]
	bars := []rune(strings.Repeat(" ", n-len(values)))
	most := int64(0)
	if len(values) > 0 {
		most = slices.Max(values)
	}
	for _, v := range values {
		switch {
		case v == Unknown:
			bars = append(bars, ' ')
		case v == 0:
			bars = append(bars, heights[0])
		default:
			bars = append(bars, heights[min(1+(v-1)*int64(len(heights)-1)/most, int64(len(heights)-1))])
		}
	}
	return string(bars)
}
