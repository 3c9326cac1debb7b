package validate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FieldError is one thing wrong with a request: where, and what is allowed there.
type FieldError struct {
	Pointer string // into the body, "" for all of it; or the name of a parameter or header
	Detail  string
}

// FieldErrors refuses a request for its fields.
type FieldErrors []FieldError

// MaxFieldErrors bounds what one answer lists.
const MaxFieldErrors = 100

func (f FieldErrors) Error() string {
	var all []string
	for _, e := range f {
		all = append(all, fmt.Sprintf("%q %s", e.Pointer, e.Detail))
	}
	return strings.Join(all, "; ")
}

// Summary says what is wrong in a sentence, for who reads no list.
func (f FieldErrors) Summary() string {
	name := f[0].Pointer
	if name == "" {
		name = "The body"
	}
	switch more := len(f) - 1; more {
	case 0:
		return name + " " + f[0].Detail + "."
	case 1:
		return name + " " + f[0].Detail + ", and 1 more field is wrong."
	default:
		return fmt.Sprintf("%s %s, and %d more fields are wrong.", name, f[0].Detail, more)
	}
}

// Refuse is the error of one bad field.
func Refuse(pointer, format string, args ...any) error {
	return FieldErrors{{pointer, fmt.Sprintf(format, args...)}}
}

// Sorted orders errors by pointer and drops those beyond MaxFieldErrors.
func (f FieldErrors) Sorted() FieldErrors {
	slices.SortStableFunc(f, func(a, b FieldError) int { return cmp.Compare(a.Pointer, b.Pointer) })
	return f[:min(len(f), MaxFieldErrors)]
}

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~1", "/", "~0", "~")
)

func splitPointer(pointer string) []string {
	keys := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range keys {
		keys[i] = pointerUnescapes.Replace(keys[i])
	}
	return keys
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// orList writes "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
