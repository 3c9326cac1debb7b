package safetext

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestHoldsNULFindsOnlyRealEscapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, json string
		want       bool
	}{
		{"none", `{"a":"b"}`, false},
		{"an escaped NUL", `"\u0000"`, true},
		{"after text", `{"a":"xy\u0000z"}`, true},
		{"an escaped backslash before u0000", `"\\u0000"`, false},
		{"an escaped backslash and then an escaped NUL", `"\\\u0000"`, true},
		{"another escape of the same length", `"\u0001"`, false},
		{"cut off", `"\u000`, false},
		{"nothing", ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, HoldsNUL([]byte(c.json)))
		})
	}
}

func TestCutsNeverSplitACharacter(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("aé…𝄞", 4)
	for n := range len(text) + 2 {
		require.LessOrEqual(t, len(Clip(text, n)), n)
		require.True(t, utf8.ValidString(Clip(text, n)), n)
		require.True(t, strings.HasPrefix(text, Clip(text, n)))
		require.LessOrEqual(t, utf8.RuneCountInString(Ellipsis(text, max(n, 1))), max(n, 1))
	}
	require.Equal(t, "ab…", Ellipsis("abcd", 3))
	require.Equal(t, "abc", Ellipsis("abc", 3))
	require.Equal(t, "a␀b�", Clean("a\x00b\xff", 100))
}

func TestANameHasLettersDigitsAndAFewSigns(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "deploy-contract": true, "a.b_c:d/9": true, strings.Repeat("x", 128): true,
		"": false, "a b": false, "é": false, strings.Repeat("x", 129): false, "a*": false, ";": false,
	} {
		require.Equal(t, want, ValidName(name), name)
	}
}
