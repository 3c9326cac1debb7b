package httpapi

import (
	"context"

	"github.com/labstack/echo/v4"
)

// checkRequest passes a request to its handler when the caller is known and may call the
// operation, and the request is as openapi.yaml describes it. The order matters: the
// body of a caller without rights is not read.
func (s *service) checkRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.description.Find(c.Request().Method, c.Path())
		if op == nil {
			return next(c) // Echo refuses it, or it is a page and no operation
		}
		who, err := s.identify(c.Request(), op)
		if err != nil {
			return err
		}
		if err := s.authorize(c, op, who); err != nil {
			return err
		}
		if err := s.spend(who); err != nil {
			return err
		}
		if err := checkParameters(c, op); err != nil {
			return err
		}
		body, done, err := s.bodies.read(c, op)
		defer done()
		if err != nil {
			return err
		}
		if err := s.queueLimits.check(c, op); err != nil {
			return err
		}
		key := c.Request().Header.Get(idempotencyKey)
		keyed := key != "" && op.Parameter(idempotencyKey) != nil && s.Client != nil
		info := &requestInfo{operation: op, caller: who}
		if checked, ok := c.Request().Body.(*checkedBody); ok {
			info.refused = checked.refused
		}
		if s.Client != nil {
			info.client = s.clientFor(op, keyed).As(who.name)
		}
		ctx, cancel := context.WithTimeoutCause(c.Request().Context(), limitOf(op), errOverLimit)
		defer cancel()
		c.SetRequest(c.Request().WithContext(context.WithValue(ctx, requestInfoKey{}, info)))
		if keyed {
			return answerOnce(c, info, key, body, next)
		}
		return next(c)
	}
}
