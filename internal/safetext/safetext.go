// Package safetext makes text fit for Postgres: bounded, valid UTF-8, without NUL.
package safetext

import (
	"bytes"
	"strings"
)

// Clip cuts text to at most n bytes, between two characters.
func Clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n]
}

// Clean returns what a text column can hold: valid UTF-8 without NUL, at most n bytes.
func Clean(text string, n int) string {
	return Clip(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "␀"), "�"), n)
}

// Ellipsis cuts text to at most n characters, n being 1 or more. The last one is then an
// ellipsis.
func Ellipsis(text string, n int) string {
	if len(text) <= n {
		return text
	}
	if runes := []rune(text); len(runes) > n {
		return string(runes[:max(n-1, 0)]) + "…"
	}
	return text
}

// ValidName reports whether Postgres takes name as a queue's or a job's: 1 to 128
// letters, digits and . _ - : / (check_name in migrations/).
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '-' || c > ':') && c != '_' { // - . / 0-9 :
			return false
		}
	}
	return 1 <= len(name) && len(name) <= 128
}

// HoldsNUL reports whether JSON holds an escaped NUL, \u0000, which jsonb cannot store.
// An escaped backslash followed by u0000 is none.
func HoldsNUL(json []byte) bool {
	for i := 0; i+5 < len(json); i++ {
		next := bytes.IndexByte(json[i:], '\\')
		if next < 0 || i+next+5 >= len(json) {
			return false
		}
		i += next
		if string(json[i:i+6]) == `\u0000` {
			return true
		}
		i++ // an escaped character cannot start an escape
	}
	return false
}
