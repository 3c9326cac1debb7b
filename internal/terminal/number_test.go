package terminal

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbersForPeople(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int64
		want string
	}{
		{"one is singular", 1, "1 job"},
		{"none is plural", 0, "0 jobs"},
		{"three digits stand alone", 999, "999 jobs"},
		{"thousands are set apart", 1000, "1,000 jobs"},
		{"as are millions", 1234567, "1,234,567 jobs"},
		{"a minus is no digit", -123456, "-123,456 jobs"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Plural(c.n, "job")) })
	}
	require.Equal(t, []string{"999", "12,345", "1.2M", "12M"}, []string{Short(999), Short(12345), Short(1_234_567), Short(12_345_678)})
}

func TestRatesAndSharesHaveThreeDigitsThatCount(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 0.001: "<0.01", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345: "12,345"} {
		require.Equal(t, want, Rate(value))
	}
	for share, want := range map[float64]string{0: "0%", 0.00001: "0.01%", 0.5: "50.0%", 0.9999999: "99.99%", 1: "100%"} {
		require.Equal(t, want, Percent(share))
	}
}

func TestSparksAreScaledToTheirGreatest(t *testing.T) {
	require.Equal(t, " ▂▂▅█", Spark([]int64{9, 1, 50, 99}, 5)[0:]) // padded on the left
	require.Equal(t, "     ", Spark(nil, 5))
	require.Equal(t, "██", Spark([]int64{1, 1, 7, 7}, 2), "what is no longer shown does not count")
	require.Equal(t, "▁▁  ", Spark([]int64{0, 0, Unknown, Unknown}, 4), "nothing is not the same as not known")
}
