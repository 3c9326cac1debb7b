package api

import (
	"errors"
	"strings"

	"github.com/labstack/echo/v4"
)

var (
	errNoToken      = errors.New("no valid token")
	errForbidden    = errors.New("the token's role does not allow this")
	errForeignQueue = errors.New("the token does not cover this queue")
)

// role is what a token is for.
type role uint8

const (
	reader   role = 1 << iota // looks: counts, times, jobs, errors, settings
	producer                  // enqueues, and follows its jobs
	worker                    // claims and finishes
	operator                  // all of these, and changes jobs, queues, policies
	admin                     // all of these, and tokens and the audit log
)

var roleNames = map[string]role{
	"reader": reader, "producer": producer, "worker": worker, "operator": operator, "admin": admin,
}

// caller is who sends a request.
type caller struct {
	id     string // of the token; empty without one
	name   string // for the audit log; empty: the database user
	role   role
	queues []string // patterns; nil covers every queue
}

var (
	// nobody may do what needs no token.
	nobody = &caller{queues: []string{}}
	// anyone is who asks a server that has no tokens yet, over loopback.
	anyone = &caller{role: admin}
)

func (c *caller) everywhere() bool { return c.queues == nil }

// covers reports whether one of the token's patterns matches the queue. A pattern is a
// queue's name, or a beginning of names and a *.
func (c *caller) covers(queue string) bool {
	if c.queues == nil {
		return true
	}
	for _, pattern := range c.queues {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(queue, prefix) || pattern == queue {
			return true
		}
	}
	return false
}

// authorize checks the caller's role for the operation, and its queues for the one in
// the path.
func authorize(c echo.Context, op *operation, who *caller) error {
	if roles[op.id]&who.role == 0 {
		return errForbidden
	}
	for _, name := range c.ParamNames() {
		if name == "queueName" && !who.covers(pathParameter(c, name)) {
			return errForeignQueue
		}
	}
	return nil
}
