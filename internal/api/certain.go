package api

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"reflect"
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

// certainties makes what is certain of schemas; memory has those of schemas that refer
// to themselves.
type certainties struct {
	memory map[*jsonschema.Schema]*certain
}

// of is what is certain of a schema's values.
func (b *certainties) of(s *jsonschema.Schema) *certain {
	if known, ok := b.memory[s]; ok {
		return known
	}
	c := &certain{forms: map[jsontext.Kind]*form{}}
	b.memory[s] = c
	switch said := keywords(s); {
	case len(said) == 0 || len(said) == 1 && s.Bool != nil && *s.Bool:
		c.open = true
	case len(said) == 1 && s.Ref != nil:
		*c = *b.of(s.Ref)
	case len(said) == 1 && (s.OneOf != nil || s.AnyOf != nil):
		b.choose(c, append(slices.Clone(s.OneOf), s.AnyOf...))
	case s.Types != nil && !slices.ContainsFunc(said, func(k string) bool { return !slices.Contains(tellable, k) }):
		b.fill(c, s)
	}
	return c
}

// tellable are the keywords whose meaning form has.
var tellable = []string{
	"Types", "Enum", "Required", "Properties", "AdditionalProperties", "MinItems", "MaxItems", "Items2020", "MinLength",
	"MaxLength", "Pattern", "Maximum", "Minimum",
}

// remarks say nothing of what a value may be.
var remarks = []string{
	"DraftVersion", "Location", "ID", "Anchor", "Title", "Description", "Default", "Comment", "ReadOnly", "WriteOnly", "Examples",
	"Deprecated",
}

// keywords are the fields that a schema has and that are more than remarks. One that is
// not known here counts.
func keywords(s *jsonschema.Schema) (said []string) {
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.IsExported() && !v.Field(i).IsZero() && !slices.Contains(remarks, field.Name) {
			said = append(said, field.Name)
		}
	}
	return said
}

// choose takes the kinds of value that one alternative alone allows.
func (b *certainties) choose(c *certain, alternatives []*jsonschema.Schema) {
	claimed := map[jsontext.Kind]int{}
	for _, a := range alternatives {
		below := b.of(a)
		kinds := kindsOf(resolve(a))
		if below.open || kinds == nil {
			c.forms = nil
			return
		}
		for _, kind := range kinds {
			claimed[kind]++
			c.forms[kind] = below.forms[kind]
		}
	}
	for kind, n := range claimed {
		if n > 1 {
			delete(c.forms, kind)
		}
	}
}

// kindsOf are the kinds of value that a schema's types allow; nil: nobody said.
func kindsOf(s *jsonschema.Schema) (kinds []jsontext.Kind) {
	if s.Types == nil {
		return nil
	}
	for _, name := range s.Types.ToStrings() {
		switch name {
		case "boolean":
			kinds = append(kinds, 't', 'f')
		case "integer", "number":
			kinds = append(kinds, '0')
		default:
			kinds = append(kinds, map[string]jsontext.Kind{"null": 'n', "string": '"', "array": '[', "object": '{'}[name])
		}
	}
	return kinds
}

func (b *certainties) fill(c *certain, s *jsonschema.Schema) {
	f := &form{
		shortest: orAny(s.MinLength), longest: orAny(s.MaxLength), pattern: s.Pattern, required: s.Required,
		fewest: orAny(s.MinItems), highest: orAny(s.MaxItems), items: &certain{open: true},
		whole: !slices.Contains(s.Types.ToStrings(), "number"),
	}
	if s.Items2020 != nil {
		f.items = b.of(s.Items2020)
	}
	f.least, f.most = bound(s.Minimum, math.Inf(1)), bound(s.Maximum, math.Inf(-1))
	f.fields = make(map[string]*certain, len(s.Properties))
	for name, property := range s.Properties {
		f.fields[name] = b.of(property)
	}
	switch others := s.AdditionalProperties.(type) {
	case nil:
		f.others = &certain{open: true}
	case bool:
		if others {
			f.others = &certain{open: true}
		}
	case *jsonschema.Schema:
		f.others = b.of(others)
	}
	kinds := kindsOf(s)
	if s.Enum != nil { // words only, or nothing is certain
		for _, value := range s.Enum.Values {
			if word, ok := value.(string); ok {
				f.words = append(f.words, word)
			}
		}
		kinds = slices.DeleteFunc(kinds, func(k jsontext.Kind) bool { return k != '"' || f.words == nil })
	}
	for _, kind := range kinds {
		c.forms[kind] = f
	}
}

// bound is a bound that is not wider than what it is of.
func bound(of *big.Rat, inwards float64) *float64 {
	if of == nil {
		return nil
	}
	n, exact := of.Float64()
	if !exact {
		n = math.Nextafter(n, inwards)
	}
	return &n
}

func orAny(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}
