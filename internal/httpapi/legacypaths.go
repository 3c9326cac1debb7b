package httpapi

import (
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	queuesPath = "/api/v1/queues"
	// legacyPath is where the system that this API re-imagines has its queues.
	legacyPath = "/api/v1/queue/enhanced"
)

// legacyPaths serves what is under legacyPath as what it is called here, before the router
// looks at it.
func legacyPaths(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		translateLegacyPath(c.Request().URL)
		return next(c)
	}
}

func translateLegacyPath(u *url.URL) {
	rest, ok := underLegacyPath(u.Path)
	if !ok {
		return
	}
	if u.RawPath != "" { // holds an escaped slash, or what else was escaped without need
		raw, ok := underLegacyPath(u.RawPath)
		if !ok {
			return
		}
		u.RawPath = queuesPath + raw
	}
	u.Path = queuesPath + rest
}

func underLegacyPath(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, legacyPath)
	return rest, ok && (rest == "" || rest[0] == '/')
}
