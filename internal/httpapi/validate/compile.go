package validate

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// anything is the schema of a value that nobody describes.
var anything = &Schema{Any: true}

// remarks are keywords that allow and refuse nothing.
var remarks = []string{"title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"}

// compile makes the schema at a place. Schemas that refer to themselves end by memory.
func (r *documentReader) compile(p place) (*Schema, error) {
	if known, ok := r.schemas[p.pointer]; ok {
		return known, nil
	}
	s := &Schema{
		minLength: -1, maxLength: -1, minItems: -1, maxItems: -1, minProperties: -1, maxProperties: -1,
		Others: anything, Items: anything, forms: map[jsontext.Kind]*Schema{},
	}
	r.schemas[p.pointer] = s
	keywords, isObject := p.node.(map[string]any)
	if allowed, isBool := p.node.(bool); !isObject && (!isBool || !allowed) {
		return nil, fmt.Errorf("%s: a schema must be an object or true", p.pointer)
	}
	said := 0
	for _, keyword := range slices.Sorted(maps.Keys(keywords)) {
		if slices.Contains(remarks, keyword) || strings.HasPrefix(keyword, "x-") {
			continue
		}
		said++
		if err := s.apply(r, p.child(keyword), keyword); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p.pointer, keyword, err)
		}
	}
	switch {
	case said == 0:
		s.Any = true
	case s.Alternatives != nil && said > 1:
		return nil, fmt.Errorf("%s: oneOf beside other keywords is not supported", p.pointer)
	case s.Alternatives != nil:
		return s, s.choose()
	case s.Types == nil:
		return nil, fmt.Errorf("%s: a schema that demands something needs a type", p.pointer)
	}
	for _, name := range s.Types {
		for _, kind := range kindsOf(name) {
			s.forms[kind] = s
		}
	}
	s.whole = slices.Contains(s.Types, "integer")
	if s.forms['['] != nil && s.maxItems < 0 {
		return nil, fmt.Errorf("%s: a list in a request needs maxItems", p.pointer)
	}
	return s, nil
}

// apply takes one keyword over.
func (s *Schema) apply(r *documentReader, p place, keyword string) (err error) {
	switch keyword {
	case "type":
		s.Types, err = words(p.node)
		for _, name := range s.Types {
			if kindsOf(name) == nil {
				return fmt.Errorf("%q is no type", name)
			}
		}
	case "enum":
		list, _ := p.node.([]any)
		s.Enum, err = words(slices.DeleteFunc(slices.Clone(list), func(v any) bool { return v == nil })) // null: by type
	case "required":
		if s.Required, err = words(p.node); len(s.Required) > 63 {
			err = fmt.Errorf("more than 63 fields")
		}
	case "properties":
		s.Properties = map[string]*Schema{}
		for name, property := range p.fields() {
			if s.Properties[name], err = r.compile(property); err != nil {
				return err
			}
		}
	case "additionalProperties":
		if s.Others = nil; p.node != false {
			s.Others, err = r.compile(p)
		}
	case "items":
		s.Items, err = r.compile(p)
	case "oneOf":
		for _, item := range p.items() {
			alternative, err := r.compile(item)
			if err != nil {
				return err
			}
			s.Alternatives = append(s.Alternatives, alternative)
		}
	case "pattern":
		text, _ := p.node.(string)
		s.pattern, err = regexp.Compile(text)
	case "format":
		switch s.DateTime = p.node == "date-time"; p.node {
		case "date-time", "int64": // the second is for code generators
		default:
			err = fmt.Errorf("%v is not supported", p.node)
		}
	case "minimum":
		s.Minimum, err = number(p.node)
	case "maximum":
		s.Maximum, err = number(p.node)
	case "exclusiveMinimum":
		s.above, err = number(p.node)
	default:
		bound := map[string]*int{
			"minLength": &s.minLength, "maxLength": &s.maxLength, "minItems": &s.minItems, "maxItems": &s.maxItems,
			"minProperties": &s.minProperties, "maxProperties": &s.maxProperties,
		}[keyword]
		if bound == nil {
			return fmt.Errorf("this keyword is not supported")
		}
		var n *float64
		if n, err = number(p.node); err == nil {
			*bound = int(*n)
		}
	}
	return err
}

// choose lets the kind of a value decide which alternative it has to satisfy.
func (s *Schema) choose() error {
	for _, alternative := range s.Alternatives {
		if alternative.Types == nil {
			return fmt.Errorf("oneOf: every alternative needs a type of its own")
		}
		s.Types = append(s.Types, alternative.Types...)
		for kind := range alternative.forms {
			if s.forms[kind] != nil {
				return fmt.Errorf("oneOf: two alternatives take a %s", cmp.Or(kindNames[kind], "value"))
			}
			s.forms[kind] = alternative
		}
	}
	return nil
}

// words reads a string or a list of strings.
func words(node any) (list []string, err error) {
	if one, ok := node.(string); ok {
		return []string{one}, nil
	}
	all, ok := node.([]any)
	for _, item := range all {
		text, isText := item.(string)
		ok = ok && isText
		list = append(list, text)
	}
	if !ok {
		return nil, fmt.Errorf("must be strings, got %v", node)
	}
	return list, nil
}

func number(node any) (*float64, error) {
	switch n := node.(type) {
	case int:
		x := float64(n)
		return &x, nil
	case float64:
		return &n, nil
	}
	return nil, fmt.Errorf("must be a number, got %v", node)
}
