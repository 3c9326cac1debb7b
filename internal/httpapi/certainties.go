package httpapi

import (
	"cmp"
	"math"
	"math/big"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

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
		b.choose(c, slices.Concat(s.OneOf, s.AnyOf))
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
		fewest: orAny(s.MinItems), highest: orAny(s.MaxItems), items: b.of(cmp.Or(s.Items2020, openSchema)),
		whole: !slices.Contains(s.Types.ToStrings(), "number"),
	}
	f.least, f.most = bound(s.Minimum, math.Inf(1)), bound(s.Maximum, math.Inf(-1))
	f.fields = make(map[string]*certain, len(s.Properties))
	for name, property := range s.Properties {
		f.fields[name] = b.of(property)
	}
	if further := furtherFields(s); further != nil {
		f.others = b.of(further)
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
