package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// fieldError is one thing wrong with a request: where, and what is allowed there.
type fieldError struct {
	pointer string // into the body, "" being all of it; or a parameter's or header's name
	detail  string
}

// fieldErrors refuses a request for its fields. A handler may return it too.
type fieldErrors []fieldError

// maxFieldErrors bounds what one answer lists.
const maxFieldErrors = 100

func (f fieldErrors) Error() string {
	var all []string
	for _, e := range f {
		all = append(all, fmt.Sprintf("%q %s", e.pointer, e.detail))
	}
	return strings.Join(all, "; ")
}

// refuseField is the error of one bad field.
func refuseField(pointer, format string, args ...any) error {
	return fieldErrors{{pointer, fmt.Sprintf(format, args...)}}
}

// checkSchema holds a value to a schema; at is where the value stands in the request.
func checkSchema(schema *jsonschema.Schema, value any, at string) error {
	err := schema.Validate(value)
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return fmt.Errorf("validate request: %w", err)
	}
	found := explainAll(failed.Causes, at)
	slices.SortStableFunc(found, func(a, b fieldError) int { return cmp.Compare(a.pointer, b.pointer) })
	return found[:min(len(found), maxFieldErrors)]
}

func explainAll(causes []*jsonschema.ValidationError, at string) (all fieldErrors) {
	for _, cause := range causes {
		all = append(all, explain(cause, at)...)
	}
	return all
}

// explain says in a sentence per field what a failed keyword wants.
func explain(e *jsonschema.ValidationError, at string) fieldErrors {
	here := at
	for _, key := range e.InstanceLocation {
		here += "/" + escapePointer(key)
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Group, *kind.Reference, *kind.AllOf, *kind.Schema:
		return explainAll(e.Causes, at)
	case *kind.OneOf, *kind.AnyOf:
		return explainChoice(e, here, at)
	case *kind.Required:
		return perName(here, k.Missing, "is required")
	case *kind.AdditionalProperties:
		return perName(here, k.Properties, "is not known here")
	}
	return fieldErrors{{here, wants(e.ErrorKind)}}
}

func perName(here string, names []string, detail string) (all fieldErrors) {
	for _, name := range names {
		all = append(all, fieldError{here + "/" + escapePointer(name), detail})
	}
	return all
}

// explainChoice explains the branch that was meant: the one whose type fits. When none
// fits it lists the types that would.
func explainChoice(e *jsonschema.ValidationError, here, at string) fieldErrors {
	var types []string
	var got string
	for _, branch := range e.Causes {
		leaf := branch
		for len(leaf.Causes) == 1 && isWrapper(leaf.ErrorKind) {
			leaf = leaf.Causes[0]
		}
		wrong, isType := leaf.ErrorKind.(*kind.Type)
		if !isType || len(leaf.InstanceLocation) != len(e.InstanceLocation) {
			return explain(branch, at)
		}
		types, got = append(types, wrong.Want...), wrong.Got
	}
	if len(types) == 0 {
		return fieldErrors{{here, "must be of one of the forms that the API's description lists, and only of one"}}
	}
	return fieldErrors{{here, fmt.Sprintf("must be %s, got %s", orList(types), got)}}
}

func isWrapper(k jsonschema.ErrorKind) bool {
	switch k.(type) {
	case *kind.Group, *kind.Reference, *kind.AllOf, *kind.Schema:
		return true
	}
	return false
}

var english = message.NewPrinter(language.English)

// wants is a keyword's demand as the end of a sentence that begins with the field.
func wants(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, got %s", orList(k.Want), k.Got)
	case *kind.Enum:
		var words []string
		for _, w := range k.Want {
			words = append(words, fmt.Sprint(w))
		}
		return fmt.Sprintf("must be %s", orList(words))
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Minimum:
		return "must be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "must be at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %s", count(k.Want, "character"))
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %s, got %d", count(k.Want, "character"), k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %s", count(k.Want, "item"))
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %s", count(k.Want, "item"))
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %s", count(k.Want, "field"))
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %s", count(k.Want, "field"))
	case *kind.UniqueItems:
		return "must not have the same item twice"
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Format:
		return "must be a " + formatName(k.Want)
	}
	return k.LocalizedString(english)
}

// decimal writes a bound as it is written in the description. Bounds are rationals that
// end within a few digits.
func decimal(bound interface{ FloatString(int) string }) string {
	text := bound.FloatString(6)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func formatName(format string) string {
	if format == "date-time" {
		return "time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z"
	}
	return format
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
