package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTables(t *testing.T) {
	columns := []column{{"package", false, cutStart}, {"lines", true, nil}}
	rows := [][]string{{"src/cmd/compile/internal/ssa", "200,001"}, {"src/fmt", "7"}}
	for _, c := range []struct {
		name  string
		width int
		want  []string
	}{
		{"are as wide as they need where nothing limits them", 0, []string{
			"  package                         lines",
			"  src/cmd/compile/internal/ssa  200,001",
			"  src/fmt                             7",
		}},
		{"fit a terminal that is just as wide", 39, []string{
			"  package                         lines",
			"  src/cmd/compile/internal/ssa  200,001",
			"  src/fmt                             7",
		}},
		{"give way in the column that may be cut", 30, []string{
			"  package                lines",
			"  …mpile/internal/ssa  200,001",
			"  src/fmt                    7",
		}},
		{"stay legible on a terminal that is too narrow", 5, []string{
			"  package         lines",
			"  …nternal/ssa  200,001",
			"  src/fmt             7",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, writeTable(&out, c.width, columns, rows))
			require.Equal(t, strings.Join(c.want, "\n")+"\n", out.String())
		})
	}
}

func TestCellsAreCountedInCharacters(t *testing.T) {
	var out strings.Builder
	columns := []column{{"e", false, cutEnd}, {"n", true, nil}}
	require.NoError(t, writeTable(&out, 17, columns, [][]string{{"illegal '☹☹☹'", "1"}, {"⊛", "2"}}))
	require.Equal(t, "  e             n\n  illegal '☹☹…  1\n  ⊛             2\n", out.String())
}

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
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, plural(c.n, "job")) })
	}
}
