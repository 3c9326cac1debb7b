package httpapi

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

var (
	errNoToken      = errors.New("no valid token")
	errForbidden    = errors.New("the token's role does not allow this")
	errForeignQueue = errors.New("the token does not cover this queue")
)

// role is one of the roles of tokens, or a set of them.
type role uint8

const (
	reader role = 1 << iota
	producer
	worker
	operator
	admin
	public // needs no token
)

var roleNames = map[penstock.TokenRole]role{
	penstock.RoleReader: reader, penstock.RoleProducer: producer, penstock.RoleWorker: worker,
	penstock.RoleOperator: operator, penstock.RoleAdmin: admin,
}

// caller is who sends a request.
type caller struct {
	id         string // of the token; empty without one
	name       string // for the audit log; empty: the database user
	role       role
	covers     func(queue string) bool
	everywhere bool // covers every queue
	// recheck reports errNoToken when the token can no longer be used; nil: there is none.
	recheck func(context.Context) error
}

// anyone is the caller over loopback while the server has no tokens.
var anyone = &caller{role: admin, covers: func(string) bool { return true }, everywhere: true}

// authorize checks the caller's role for the operation, and its queues for the one in
// the path.
func (s *service) authorize(c echo.Context, op *validate.Operation, who *caller) error {
	if s.roles[op.ID]&who.role == 0 {
		return errForbidden
	}
	for _, name := range c.ParamNames() {
		if name == queueParameter && !who.covers(pathParameter(c, name)) {
			return errForeignQueue
		}
	}
	return nil
}

const queueParameter = "queueName"
