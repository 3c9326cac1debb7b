package httpapi

import (
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock/internal/httpapi/validate"
)

// checkParameters holds path, query and headers to what the operation says of them. A
// query parameter it does not know is refused: a misspelt filter would choose everything.
func checkParameters(c echo.Context, op *validate.Operation) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return validate.Refuse("", "must have a query that is percent-encoded: %s", err)
	}
	var wrong validate.FieldErrors
	for name := range query {
		if p := op.Parameter(name); p == nil || p.In != "query" {
			wrong = append(wrong, validate.FieldError{Pointer: clip(strings.ToValidUTF8(name, "?")), Detail: "is not known here"})
		}
	}
	for _, p := range op.Parameters {
		var given []string
		switch p.In {
		case "path":
			given = []string{pathParameter(c, p.Name)}
		case "query":
			given = query[p.Name]
		case "header":
			given = c.Request().Header.Values(p.Name)
		}
		wrong = append(wrong, p.Check(given)...)
	}
	if len(wrong) > 0 {
		return wrong.Sorted()
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
