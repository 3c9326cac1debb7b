package httpapi

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// certain is what can be told of a value while it is read, without building it: where
// every part is certainly as its schema wants it, the schema need not be asked, which
// took three quarters of what a batch of jobs cost before it was enqueued. Whatever is
// not certain is left to the schema, which explains what it refuses.
type certain struct {
	open  bool // it may be anything
	forms map[jsontext.Kind]*form
}

// form is what a value of one kind has to be.
type form struct {
	// Of text: its length in characters, its pattern, its words.
	shortest, longest int // -1: any length
	pattern           jsonschema.Regexp
	words             []string
	// Of a number.
	whole       bool
	least, most *float64
	// Of an object: its fields, and which must be there.
	fields   map[string]*certain
	others   *certain // nil: there are no others
	required []string
	// Of an array.
	items           *certain
	fewest, highest int // -1: any number
}

// holds reports whether document is certainly one JSON document as readJSON takes it and
// as the schema wants it.
func (c *certain) holds(document []byte) bool {
	r := &treeReader{decoder: jsontext.NewDecoder(bytes.NewBuffer(document))}
	if !c.value(r) {
		return false
	}
	_, err := r.decoder.ReadToken()
	return errors.Is(err, io.EOF)
}

func (c *certain) value(r *treeReader) bool {
	if c.open {
		return r.skip() == nil
	}
	kind := r.decoder.PeekKind()
	f := c.forms[kind]
	switch {
	case f == nil:
		return false
	case kind == '{':
		return f.object(r)
	case kind == '[':
		return f.array(r)
	}
	raw, err := r.scalar()
	return err == nil && (kind != '"' || f.text(raw)) && (kind != '0' || f.number(raw))
}

func (f *form) object(r *treeReader) bool {
	if r.open() != nil {
		return false
	}
	missing := len(f.required)
	for r.decoder.PeekKind() == '"' {
		raw, err := r.scalar()
		if err != nil || bytes.IndexByte(raw, '\\') >= 0 {
			return false
		}
		name := raw[1 : len(raw)-1]
		// Names are unique, so each counts once.
		if slices.ContainsFunc(f.required, func(n string) bool { return n == string(name) }) {
			missing--
		}
		below := f.fields[string(name)]
		if below == nil {
			below = f.others
		}
		if below == nil || !below.value(r) {
			return false
		}
	}
	_, err := r.decoder.ReadToken()
	return err == nil && missing == 0
}

func (f *form) array(r *treeReader) bool {
	if r.open() != nil {
		return false
	}
	n := 0
	for ; r.decoder.PeekKind() != ']'; n++ {
		if f.highest >= 0 && n == f.highest || !f.items.value(r) {
			return false
		}
	}
	_, err := r.decoder.ReadToken()
	return err == nil && n >= f.fewest
}

func (f *form) text(raw jsontext.Value) bool {
	if bytes.IndexByte(raw, '\\') >= 0 {
		return false
	}
	text := string(raw[1 : len(raw)-1])
	if f.words != nil && !slices.Contains(f.words, text) {
		return false
	}
	if f.shortest >= 0 || f.longest >= 0 {
		n := utf8.RuneCountInString(text)
		if n < f.shortest || f.longest >= 0 && n > f.longest {
			return false
		}
	}
	return f.pattern == nil || f.pattern.MatchString(text)
}

func (f *form) number(raw jsontext.Value) bool {
	if _, err := strconv.ParseInt(string(raw), 10, 53); f.whole && err != nil {
		return false
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && (f.least == nil || n >= *f.least) && (f.most == nil || n <= *f.most)
}
