package validate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxLines is how many lines a body of lines may have.
const MaxLines = 10_000

// errEnough ends the reading: further errors would not be listed, or what is left may
// be large and cannot be right.
var errEnough = errors.New("enough errors")

// Check holds one JSON document to the schema while it is read, and returns it with
// every integer in plain digits, as Go's decoder needs them (see wholeNumber). at is the
// document's place in the request.
// Errors: FieldErrors, sorted by pointer. A document that cannot be read has one.
func (s *Schema) Check(document []byte, at string) ([]byte, error) {
	edits, err := s.check(document, at)
	if err != nil {
		return nil, err
	}
	return rewritten(document, edits), nil
}

// Storable reports why a JSON value cannot be stored as a job's data or result.
func Storable(value []byte) error {
	_, err := anything.check(value, "")
	return err
}

// CheckLines holds each line to the schema. Pointers begin with the line's number among
// those that are not empty.
func (s *Schema) CheckLines(text []byte) ([]byte, error) {
	var lines [][]byte
	changed := false
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(lines) == MaxLines {
			return nil, Refuse("", "must have at most %d lines", MaxLines)
		}
		edits, err := s.check(line, fmt.Sprintf("/%d", len(lines)))
		if err != nil {
			return nil, err
		}
		changed = changed || edits != nil
		lines = append(lines, rewritten(line, edits))
	}
	if len(lines) == 0 {
		return nil, Refuse("", "must have at least 1 line")
	}
	if !changed {
		return text, nil
	}
	return bytes.Join(lines, []byte("\n")), nil
}

func (s *Schema) check(document []byte, at string) ([]edit, error) {
	c := &check{reader: newReader(document, at)}
	err := c.value(s)
	if err == nil {
		if _, err = c.ReadToken(); err == nil {
			err = errTrailing
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil && !errors.Is(err, errEnough) {
		return nil, c.explain(document, err)
	}
	if len(c.wrong) > 0 {
		return nil, c.wrong.Sorted()
	}
	return c.edits, nil
}

// check is one document on its way.
type check struct {
	reader
	wrong FieldErrors
	edits []edit
}

// edit replaces a number's text.
type edit struct {
	end   int64 // of the number in the document
	old   int   // its length
	plain string
}

func rewritten(document []byte, edits []edit) []byte {
	if edits == nil {
		return document
	}
	var text []byte
	from := int64(0)
	for _, e := range edits {
		text = append(append(text, document[from:e.end-int64(e.old)]...), e.plain...)
		from = e.end
	}
	return append(text, document[from:]...)
}

// refuse notes what is wrong at a pointer.
func (c *check) refuse(pointer string, details ...string) error {
	for _, detail := range details {
		c.wrong = append(c.wrong, FieldError{pointer, detail})
	}
	if len(c.wrong) >= MaxFieldErrors {
		return errEnough
	}
	return nil
}

// value reads the next value. A returned error ends the reading; what is wrong by the
// schema is in c.wrong.
func (c *check) value(s *Schema) error {
	if s.Any {
		return c.skip()
	}
	kind := c.PeekKind()
	form := s.accepts(kind)
	switch {
	case form == nil:
		return c.otherType(s, kind)
	case kind == '{':
		return c.object(form)
	case kind == '[':
		return c.array(form)
	}
	raw, number, err := c.scalar()
	if err != nil {
		return err
	}
	switch kind {
	case '"':
		text, err := unquote(raw)
		if err != nil {
			return err
		}
		if wrong := form.text(text); wrong != nil {
			return c.refuse(c.here(), wrong...)
		}
	case '0':
		return c.number(form, raw, number)
	}
	return nil
}

func (c *check) number(s *Schema, raw jsontext.Value, number float64) error {
	if s.whole && bytes.ContainsAny(raw, ".eE") {
		plain, ok := wholeNumber(string(raw))
		if !ok {
			return c.refuse(c.here(), "must be "+orList(s.Types)+", got number")
		}
		c.edits = append(c.edits, edit{c.InputOffset(), len(raw), plain})
	}
	if wrong := s.number(number); wrong != nil {
		return c.refuse(c.here(), wrong...)
	}
	return nil
}

// otherType reads a value whose type is not allowed.
func (c *check) otherType(s *Schema, kind jsontext.Kind) error {
	if err := c.skip(); err != nil {
		return err
	}
	return c.refuse(c.here(), fmt.Sprintf("must be %s, got %s", orList(s.Types), kindNames[kind]))
}

func (c *check) object(s *Schema) error {
	if err := c.open(); err != nil {
		return err
	}
	var seen uint64 // of s.Required, a bit each
	fields := 0
	for ; c.PeekKind() == '"'; fields++ {
		raw, _, err := c.scalar()
		if err != nil {
			return err
		}
		name, err := unquote(raw)
		if err != nil {
			return err
		}
		for i, required := range s.Required {
			if required == string(name) {
				seen |= 1 << i
			}
		}
		field := s.Properties[string(name)]
		if field == nil {
			field = s.Others
		}
		if field == nil {
			if err := c.refuse(c.here(), "is not known here"); err != nil {
				return err
			}
			field = anything
		}
		if err := c.value(field); err != nil {
			return err
		}
	}
	if _, err := c.ReadToken(); err != nil {
		return err
	}
	if seen != 1<<len(s.Required)-1 {
		for i, name := range s.Required {
			if seen&(1<<i) == 0 {
				if err := c.refuse(c.here()+"/"+pointerEscapes.Replace(name), "is required"); err != nil {
					return err
				}
			}
		}
	}
	if wrong := length(fields, s.minProperties, s.maxProperties, "field"); wrong != nil {
		return c.refuse(c.here(), wrong...)
	}
	return nil
}

func (c *check) array(s *Schema) error {
	if err := c.open(); err != nil {
		return err
	}
	n := 0
	for ; c.PeekKind() != ']'; n++ {
		if s.maxItems >= 0 && n == s.maxItems {
			here := c.here() // of the last item
			_ = c.refuse(here[:strings.LastIndexByte(here, '/')], "must have at most "+count(s.maxItems, "item"))
			return errEnough // the rest may be long
		}
		if err := c.value(s.Items); err != nil {
			return err
		}
	}
	if _, err := c.ReadToken(); err != nil {
		return err
	}
	if wrong := length(n, s.minItems, -1, "item"); wrong != nil {
		return c.refuse(c.here(), wrong...)
	}
	return nil
}
