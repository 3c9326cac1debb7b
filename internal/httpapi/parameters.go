package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

// checkParameters holds path, query and headers to what the operation says of them. A
// query parameter it does not know is refused: a misspelt filter would choose everything.
func (o *operation) checkParameters(c echo.Context) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return refuseField("", "must have a query that is percent-encoded: %s", err)
	}
	var wrong fieldErrors
	for name := range query {
		if p := o.parameter(name); p == nil || p.in != "query" {
			wrong = append(wrong, fieldError{clip(strings.ToValidUTF8(name, "?")), "is not known here"})
		}
	}
	for _, p := range o.params {
		var given []string
		switch p.in {
		case "path":
			given = []string{pathParameter(c, p.name)}
		case "query":
			given = query[p.name]
		case "header":
			given = c.Request().Header.Values(p.name)
		}
		wrong = append(wrong, p.check(given)...)
	}
	if len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b fieldError) int { return strings.Compare(a.pointer, b.pointer) })
		return wrong[:min(len(wrong), maxFieldErrors)]
	}
	return nil
}

// pathParameter is what the client meant. Echo leaves a path that holds an escaped slash
// escaped; generated code unescapes what it gets in any case, which is harmless as long
// as no parameter may hold a '%': a test sees to that.
func pathParameter(c echo.Context, name string) string {
	if c.Request().URL.RawPath == "" {
		return c.Param(name)
	}
	if text, err := url.PathUnescape(c.Param(name)); err == nil {
		return text
	}
	return c.Param(name)
}

func (p *parameter) check(given []string) fieldErrors {
	switch {
	case len(given) == 0 && p.required:
		return fieldErrors{{p.name, "is required"}}
	case len(given) == 0:
		return nil
	case len(given) > 1 && p.kind != "array":
		return fieldErrors{{p.name, "must be given once"}}
	}
	for _, text := range given {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fieldErrors{{p.name, "must be text in UTF-8 without NUL"}}
		}
	}
	value, ok := p.read(given)
	if !ok {
		return fieldErrors{{p.name, "must be " + article(p.kind)}}
	}
	if err := checkSchema(p.schema, value, ""); err != nil {
		wrong, _ := err.(fieldErrors)
		for i := range wrong {
			wrong[i].pointer = p.name // a parameter has no parts to point at
		}
		return wrong
	}
	return nil
}

// read turns a parameter's text into what its schema's type asks for.
func (p *parameter) read(given []string) (any, bool) {
	text := given[0]
	switch p.kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case "number":
		x, err := strconv.ParseFloat(text, 64)
		return x, err == nil && x-x == 0 // neither NaN nor infinite
	case "boolean":
		return text == "true", text == "true" || text == "false"
	case "array":
		list := make([]any, len(given))
		for i := range given {
			list[i] = given[i]
		}
		return list, true
	}
	return text, true
}

func article(kind string) string {
	switch kind {
	case "integer":
		return "a whole number"
	case "boolean":
		return "true or false"
	}
	return "a " + kind
}
