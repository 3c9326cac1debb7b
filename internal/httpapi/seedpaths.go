package httpapi

import (
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	queuesPath = "/api/v1/queues"
	// seedPath is where the system that this API re-imagines has its queues.
	seedPath = "/api/v1/queue/enhanced"
)

// seedPaths serves what is under seedPath as what it is called here, before the router
// looks at it.
func seedPaths(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		translateSeedPath(c.Request().URL)
		return next(c)
	}
}

func translateSeedPath(u *url.URL) {
	rest, ok := underSeedPath(u.Path)
	if !ok {
		return
	}
	if u.RawPath != "" { // holds an escaped slash, or what else was escaped without need
		raw, ok := underSeedPath(u.RawPath)
		if !ok {
			return
		}
		u.RawPath = queuesPath + raw
	}
	u.Path = queuesPath + rest
}

func underSeedPath(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, seedPath)
	return rest, ok && (rest == "" || rest[0] == '/')
}
