package api

import (
	"context"

	"github.com/labstack/echo/v4"
)

// gate lets a request through to its handler once it is known who asks, that they may,
// and that the request is as openapi.yaml describes it. In this order: nothing of a
// body is read for someone who may not send it.
func (s *service) gate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.contract.find(c.Request().Method, c.Path())
		if op == nil {
			return next(c) // to Echo's own refusal, or a page that is not an operation
		}
		who, err := s.identify(c, op)
		if err != nil {
			return err
		}
		if err := authorize(c, op, who); err != nil {
			return err
		}
		if err := op.checkParameters(c); err != nil {
			return err
		}
		_, done, err := s.intake.take(c, op)
		defer done()
		if err != nil {
			return err
		}
		x := &exchange{operation: op, caller: who}
		if s.Client != nil {
			x.client = s.Client.As(who.name)
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), exchangeKey{}, x)))
		return next(c)
	}
}

// identify finds out who asks.
func (s *service) identify(_ echo.Context, op *operation) (*caller, error) {
	if roles[op.id] == public {
		return &caller{role: public}, nil
	}
	return anyone, nil
}
