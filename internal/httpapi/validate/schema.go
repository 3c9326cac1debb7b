package validate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Schema is a JSON schema, as far as openapi.yaml uses them. Of a oneOf, forms has the
// alternative for each kind of value: compile.go makes sure that there is only one.
type Schema struct {
	Any   bool     // every value is allowed, and its parts are not checked
	Types []string // in the words of JSON Schema, as the description orders them
	forms map[jsontext.Kind]*Schema

	Alternatives []*Schema // of a oneOf

	// Of a string.
	Enum                 []string
	minLength, maxLength int // characters; -1: any number
	pattern              *regexp.Regexp
	DateTime             bool

	// Of a number.
	whole            bool // 3 and 3.0, not 3.5
	Minimum, Maximum *float64
	above            *float64 // exclusiveMinimum

	// Of an object.
	Properties                   map[string]*Schema
	Others                       *Schema // of fields that Properties does not name; nil: they are refused
	Required                     []string
	minProperties, maxProperties int // -1: any number

	// Of an array.
	Items              *Schema
	minItems, maxItems int // -1: any number
}

// accepts returns the schema for a value of that kind, nil when none is allowed.
func (s *Schema) accepts(kind jsontext.Kind) *Schema { return s.forms[kind] }

// text returns what is wrong with a string.
func (s *Schema) text(text []byte) (wrong []string) {
	if s.Enum != nil && !slices.Contains(s.Enum, string(text)) {
		wrong = append(wrong, "must be "+orList(s.Enum))
	}
	if s.minLength >= 0 || s.maxLength >= 0 {
		n := utf8.RuneCount(text)
		if n < s.minLength {
			wrong = append(wrong, "must have at least "+count(s.minLength, "character"))
		}
		if s.maxLength >= 0 && n > s.maxLength {
			wrong = append(wrong, fmt.Sprintf("must have at most %s, got %d", count(s.maxLength, "character"), n))
		}
	}
	if s.pattern != nil && !s.pattern.Match(text) {
		wrong = append(wrong, "must match "+s.pattern.String())
	}
	if s.DateTime {
		var at time.Time
		if at.UnmarshalText(text) != nil {
			wrong = append(wrong, "must be a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z")
		}
	}
	return wrong
}

// number returns what is wrong with a number, apart from being whole.
func (s *Schema) number(n float64) (wrong []string) {
	if s.Minimum != nil && n < *s.Minimum {
		wrong = append(wrong, "must be at least "+decimal(*s.Minimum))
	}
	if s.above != nil && n <= *s.above {
		wrong = append(wrong, "must be more than "+decimal(*s.above))
	}
	if s.Maximum != nil && n > *s.Maximum {
		wrong = append(wrong, "must be at most "+decimal(*s.Maximum))
	}
	return wrong
}

// length returns what is wrong with the number of an array's items or an object's fields.
func length(n, least, most int, thing string) (wrong []string) {
	if n < least {
		wrong = append(wrong, "must have at least "+count(least, thing))
	}
	if most >= 0 && n > most {
		wrong = append(wrong, "must have at most "+count(most, thing))
	}
	return wrong
}

func decimal(bound float64) string { return strconv.FormatFloat(bound, 'f', -1, 64) }

// kindNames are JSON Schema's words for the kinds of value.
var kindNames = map[jsontext.Kind]string{
	'n': "null", 't': "boolean", 'f': "boolean", '"': "string", '0': "number", '{': "object", '[': "array",
}

// kindsOf are the kinds of value of a type.
func kindsOf(name string) []jsontext.Kind {
	switch name {
	case "boolean":
		return []jsontext.Kind{'t', 'f'}
	case "integer", "number":
		return []jsontext.Kind{'0'}
	}
	for kind, known := range kindNames {
		if known == name {
			return []jsontext.Kind{kind}
		}
	}
	return nil
}

// wholeNumber returns how an integer is written without fraction and exponent: 3.0 is 3
// and 1e2 is 100. ok is false for a number that is no integer. An integer of more than
// 18 digits is returned as it came.
func wholeNumber(number string) (plain string, ok bool) {
	digits, negative := strings.CutPrefix(number, "-")
	mantissa, exponent := digits, 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		mantissa = digits[:i]
		n, err := strconv.Atoi(digits[i+1:])
		if err != nil && digits[i+1] == '-' {
			n = -maxDigits // of more digits than that no number here can be whole
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all, point := whole+fraction, len(whole)+exponent
	significant := strings.TrimRight(all, "0")
	if strings.Trim(all, "0") == "" {
		return "0", true
	}
	if len(significant) > point {
		return "", false
	}
	if point > 18 {
		return number, true
	}
	plain = strings.TrimLeft(significant+strings.Repeat("0", point-len(significant)), "0")
	if negative {
		plain = "-" + plain
	}
	return plain, true
}
