package validate

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the parameter's type: integer, number, boolean, array (of strings), else string.
func (p *Parameter) kind() string {
	if len(p.Schema.Types) == 1 {
		return p.Schema.Types[0]
	}
	return "string"
}

// Check holds what was given for a parameter to its schema. A parameter has no parts,
// so errors name it and no pointer.
func (p *Parameter) Check(given []string) FieldErrors {
	switch {
	case len(given) == 0 && p.Required:
		return p.refuse("is required")
	case len(given) == 0:
		return nil
	case len(given) > 1 && p.kind() != "array":
		return p.refuse("must be given once")
	}
	for _, text := range given {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return p.refuse("must be text in UTF-8 without NUL")
		}
	}
	return p.refuse(p.value(given)...)
}

func (p *Parameter) refuse(details ...string) (wrong FieldErrors) {
	for _, detail := range details {
		wrong = append(wrong, FieldError{p.Name, detail})
	}
	return wrong
}

// value returns what is wrong with the parameter's value.
func (p *Parameter) value(given []string) (wrong []string) {
	text, s := given[0], p.Schema
	switch p.kind() {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return []string{"must be a whole number"}
		}
		return s.number(float64(n))
	case "number":
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x-x != 0 { // NaN or infinite
			return []string{"must be a number"}
		}
		return s.number(x)
	case "boolean":
		if text != "true" && text != "false" {
			return []string{"must be true or false"}
		}
		return nil
	case "array":
		if wrong := length(len(given), s.minItems, s.maxItems, "item"); wrong != nil {
			return wrong
		}
		for _, text := range given {
			wrong = append(wrong, s.Items.text([]byte(text))...)
		}
		return wrong
	}
	return s.text([]byte(text))
}
