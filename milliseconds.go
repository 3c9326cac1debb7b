package penstock

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Milliseconds is a duration that JSON spells as a number of milliseconds.
type Milliseconds time.Duration

// MarshalJSON writes the milliseconds, with fractions where there are any.
func (m Milliseconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m)/float64(time.Millisecond), 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes. What is longer than a duration becomes
// the longest one, which is refused for what it is.
func (m *Milliseconds) UnmarshalJSON(text []byte) error {
	var ms float64
	if err := json.Unmarshal(text, &ms); err != nil {
		return err
	}
	const most = float64(math.MaxInt64 / int64(time.Millisecond))
	switch {
	case ms >= most:
		*m = math.MaxInt64
	case ms <= -most:
		*m = -math.MaxInt64
	default:
		*m = Milliseconds(ms * float64(time.Millisecond))
	}
	return nil
}
