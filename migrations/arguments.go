package migrations

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// catalogNames are the names that the catalog prints for the short ones we write.
var catalogNames = map[string]string{
	"int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
	"float8": "double precision", "float4": "real", "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
	"varchar": "character varying", "decimal": "numeric",
}

var (
	byDefault = regexp.MustCompile(`(?i)\s+(DEFAULT\b|=)`)
	argument  = regexp.MustCompile(`^(?:(IN|OUT|INOUT|VARIADIC) )?("[^"]+"|\w+) (.+)$`)
)

// argumentTypes returns the types of the input arguments in the list that text begins
// with, as the catalog prints them. Every argument must have a name.
func argumentTypes(text string) (types []string, err error) {
	list, err := splitArguments(text)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		one = strings.Join(strings.Fields(one), " ")
		if at := byDefault.FindStringIndex(one); at != nil {
			one = one[:at[0]]
		}
		parts := argument.FindStringSubmatch(one)
		if parts == nil {
			return nil, fmt.Errorf("cannot read its argument %q: write `name type`", one)
		}
		if parts[1] == "OUT" {
			continue
		}
		element, array := strings.CutSuffix(parts[3], "[]")
		if name, ok := catalogNames[element]; ok {
			element = name
		}
		if array {
			element += "[]"
		}
		types = append(types, element)
	}
	return types, nil
}

// splitArguments cuts the bracketed list at its commas, outside of quotes and brackets.
func splitArguments(text string) (list []string, err error) {
	depth, quoted, from := 0, false, 1
	for i, c := range text {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			if depth--; depth == 0 {
				if last := strings.TrimSpace(text[from:i]); last != "" {
					list = append(list, last)
				}
				return list, nil
			}
		case c == ',' && depth == 1:
			list, from = append(list, text[from:i]), i+1
		}
	}
	return nil, errors.New("its list of arguments does not end")
}
