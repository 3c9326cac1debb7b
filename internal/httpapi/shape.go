package httpapi

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shape is what a schema will say of a value's parts before they are read: which fields
// it knows, how many items it allows, what it does not look at. The schema itself is
// applied afterwards and has the last word; its shape keeps what it will not look at, or
// will refuse, from being built.
type shape struct {
	open   bool              // nobody looks into it
	fields map[string]*shape // of an object
	others *shape            // of its further fields; nil: they are refused
	items  *shape            // of an array
	most   int               // items of an array; -1: any number
}

var (
	// openShape is a value that may be anything.
	openShape = &shape{open: true}
	// wholeShape is a value of which nothing can be told before it is there.
	wholeShape = func() *shape {
		s := &shape{most: -1}
		s.others, s.items = s, s
		return s
	}()
)

// shapes makes shapes; memory has those of schemas that refer to themselves.
type shapes struct {
	memory map[*jsonschema.Schema]*shape
}

// of is the shape of a value that has to satisfy one of schemas.
func (b *shapes) of(schemas ...*jsonschema.Schema) *shape {
	s := &shape{}
	if len(schemas) == 1 {
		if known, ok := b.memory[schemas[0]]; ok {
			return known
		}
		b.memory[schemas[0]] = s
	}
	b.fill(s, schemas)
	return s
}

func (b *shapes) fill(s *shape, schemas []*jsonschema.Schema) {
	forms, vague := formsOf(schemas)
	switch {
	case vague:
		*s = *wholeShape
	case !slices.ContainsFunc(forms, func(f *jsonschema.Schema) bool { return !demandsNothing(f) }):
		*s = *openShape
	default:
		b.fillObject(s, forms)
		b.fillArray(s, forms)
	}
}

func (b *shapes) fillObject(s *shape, forms []*jsonschema.Schema) {
	names := map[string][]*jsonschema.Schema{}
	var others []*jsonschema.Schema
	objects := 0
	for _, f := range forms {
		if !takes(f, "object") {
			continue
		}
		objects++
		for name := range f.Properties {
			names[name] = nil
		}
		if further := furtherFields(f); further != nil {
			others = append(others, further)
		}
	}
	switch {
	case objects == 0: // an object is refused as a whole
		s.others = openShape
		return
	case len(others) > 0:
		s.others = b.of(others...)
	}
	s.fields = map[string]*shape{}
	for name := range names {
		var below []*jsonschema.Schema
		for _, f := range forms {
			if property, ok := f.Properties[name]; ok {
				below = append(below, property)
			} else if further := furtherFields(f); further != nil && takes(f, "object") {
				below = append(below, further)
			}
		}
		s.fields[name] = b.of(below...)
	}
}

var openSchema = &jsonschema.Schema{}

// furtherFields is the schema of the fields that an object's schema does not name, nil
// when it refuses them.
func furtherFields(f *jsonschema.Schema) *jsonschema.Schema {
	switch others := f.AdditionalProperties.(type) {
	case *jsonschema.Schema:
		return others
	case bool:
		if !others {
			return nil
		}
	}
	return openSchema
}

func (b *shapes) fillArray(s *shape, forms []*jsonschema.Schema) {
	var items []*jsonschema.Schema
	for _, f := range forms {
		if !takes(f, "array") {
			continue
		}
		if f.Items2020 != nil {
			items = append(items, f.Items2020)
		} else {
			items = append(items, openSchema)
		}
		if f.MaxItems == nil {
			s.most = -1
		} else if s.most >= 0 {
			s.most = max(s.most, *f.MaxItems)
		}
	}
	if items == nil { // an array is refused as a whole, and a few items show that it is one
		s.items, s.most = openShape, maxFieldErrors
		return
	}
	s.items = b.of(items...)
}

// formsOf are the plain schemas that schemas come down to: references and alternatives
// opened up. vague says that one of them says more than can be told here.
func formsOf(schemas []*jsonschema.Schema) (forms []*jsonschema.Schema, vague bool) {
	for _, s := range schemas {
		s = resolve(s)
		if s.Bool != nil && *s.Bool {
			s = openSchema
		}
		choices := slices.Concat(s.OneOf, s.AnyOf)
		if s.Bool != nil || s.Ref != nil || s.If != nil || len(s.AllOf) > 0 || len(choices) > 0 && s.Properties != nil {
			return nil, true
		}
		if choices == nil {
			forms = append(forms, s)
			continue
		}
		inner, unclear := formsOf(choices)
		if unclear {
			return nil, true
		}
		forms = append(forms, inner...)
	}
	return forms, false
}

// demandsNothing reports whether every JSON value satisfies the plain schema.
func demandsNothing(s *jsonschema.Schema) bool {
	return s.Types == nil && s.Const == nil && s.Enum == nil && s.Not == nil && s.Format == nil &&
		len(s.Properties)+len(s.Required) == 0 && s.AdditionalProperties == nil && s.Items2020 == nil &&
		s.MinLength == nil && s.MaxLength == nil && s.Pattern == nil && s.Minimum == nil && s.Maximum == nil &&
		s.MinProperties == nil && s.MaxProperties == nil && s.MinItems == nil && s.MaxItems == nil
}

func takes(s *jsonschema.Schema, kind string) bool {
	return s.Types == nil || s.Types.IsEmpty() || slices.Contains(s.Types.ToStrings(), kind)
}
