package httpapi

import (
	"bytes"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
	"github.com/penstock/penstock/internal/replies"
)

const idempotencyKey = "Idempotency-Key"

// keptHeaders are those of an answer that belong to what was done.
var keptHeaders = []string{echo.HeaderContentType, echo.HeaderLocation}

// answerOnce runs the handler inside the transaction that also keeps its answer, or gives the
// answer that is kept. Only a success is kept: what failed had no effect, and the same
// request may succeed later.
func answerOnce(c echo.Context, x *requestInfo, key string, body []byte, next echo.HandlerFunc) error {
	if len(c.Request().Header.Values(idempotencyKey)) != 1 {
		return validate.Refuse(idempotencyKey, "must be given once")
	}
	client, real := x.client, c.Response()
	request := []byte(c.Request().Method + " " + c.Request().URL.RequestURI() + "\n" + string(body))
	reply, repeated, err := replies.Once(c.Request().Context(), client, x.caller.id, key, request, func(inside *penstock.Client) (replies.Reply, error) {
		x.client = inside
		held := &heldAnswer{header: real.Header().Clone()}
		c.SetResponse(echo.NewResponse(held, c.Echo()))
		defer c.SetResponse(real)
		if err := next(c); err != nil {
			return replies.Reply{}, err
		}
		return held.reply(), nil
	})
	c.SetResponse(real)
	if err != nil {
		return err
	}
	for name, value := range reply.Headers {
		real.Header().Set(name, value)
	}
	if repeated {
		real.Header().Set("Idempotency-Replayed", "true")
	}
	real.WriteHeader(reply.Status)
	_, err = real.Write(reply.Body)
	return err
}

// heldAnswer holds back what a handler answers until its transaction has committed.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header            { return h.header }
func (h *heldAnswer) WriteHeader(status int)         { h.status = status }
func (h *heldAnswer) Write(text []byte) (int, error) { return h.body.Write(text) }

func (h *heldAnswer) reply() replies.Reply {
	reply := replies.Reply{Status: h.status, Headers: map[string]string{}, Body: h.body.Bytes()}
	for _, name := range keptHeaders {
		if value := h.header.Get(name); value != "" {
			reply.Headers[name] = value
		}
	}
	return reply
}
