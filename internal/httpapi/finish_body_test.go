package httpapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneBadAttemptIsRepairedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body, repaired string
		refused              map[int]string
	}{
		{"NUL in an error", `{"attempts":[{"error":"bad \u0000"},{"id":"1"}]}`, `{"attempts":[{"error":"bad ` + "\uFFFD" + `"},{"id":"1"}]}`, map[int]string{}},
		{"half an emoji", `{"attempts":[{"detail":"\ud83d"}]}`, `{"attempts":[{"detail":"` + "\uFFFD" + `"}]}`, map[int]string{}},
		{"broken UTF-8 in a note", "{\"attempts\":[{\"note\":\"a\xff\"}]}", `{"attempts":[{"note":"a` + "\uFFFD" + `"}]}`, map[int]string{}},
		{
			"a result with NUL", `{"attempts":[{"id":"1","result":1},{"result":{"a":["\u0000"]}}]}`, `{"attempts":[{"id":"1","result":1},{"result":null}]}`,
			map[int]string{1: `result "/a/0" must be free of \u0000, which Postgres cannot store`},
		},
		{"a number that is infinite", `{"attempts":[{"result":1e999}]}`, `{"attempts":[{"result":null}]}`, map[int]string{0: `result "" must be a number that fits a 64-bit float`}},
		{"a field twice in a result", `{"attempts":[{"result":{"a":1,"a":2}}]}`, `{"attempts":[{"result":null}]}`, map[int]string{0: `result "/a" is given twice`}},
		{"another form", `[{"error":"\u0000"}]`, `[{"error":"\u0000"}]`, map[int]string{}},
		{"no JSON", `{"attempts":[{"error":"\u0000"`, `{"attempts":[{"error":"\u0000"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			repaired, refused := repairAttempts([]byte(c.body))
			require.Equal(t, c.repaired, string(repaired))
			require.Equal(t, c.refused, refused)
		})
	}
}
