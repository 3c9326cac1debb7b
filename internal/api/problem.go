package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock/penstock/internal/api/openapi"
)

// errNotReady: Postgres or its schema cannot serve requests now. Ask again later.
var errNotReady = errors.New("not ready")

// answer is what a kind of error looks like from outside.
type answer struct {
	status     int
	code       string // stable; clients switch on it
	title      string
	detail     string
	retryAfter int // seconds; 0 leaves the header out
}

// answers maps the errors we know to what the client reads. The first that errors.Is
// finds wins; the texts are constant, so that no error's own words (addresses, SQL,
// data) reach a client by accident.
var answers = []struct {
	err error
	answer
}{
	{errNotReady, answer{
		status: http.StatusServiceUnavailable, code: "not_ready", title: "Not ready", retryAfter: 1,
		detail: "The server cannot use its database at the moment, or is shutting down; its log says why.",
	}},
}

// unknown answers every error that no table explains.
var unknown = answer{
	status: http.StatusInternalServerError, code: "internal", title: "Internal error",
	detail: "The server failed. Its log explains this under the request id.",
}

// routing answers what Echo itself refuses before a handler runs, by status.
var routing = map[int]answer{
	http.StatusBadRequest:            {code: "bad_request", title: "Bad request", detail: "The request could not be read; see the API's description."},
	http.StatusNotFound:              {code: "not_found", title: "Not found", detail: "Nothing is served at this path."},
	http.StatusMethodNotAllowed:      {code: "method_not_allowed", title: "Method not allowed", detail: "The Allow header lists what this path takes."},
	http.StatusRequestEntityTooLarge: {code: "too_large", title: "Too large", detail: "The request's body is larger than the server takes."},
	http.StatusUnsupportedMediaType:  {code: "unsupported_media_type", title: "Unsupported media type", detail: "Send application/json."},
}

// answerFor finds how err looks from outside; unknown when nothing else fits.
func answerFor(err error) answer {
	for _, known := range answers {
		if errors.Is(err, known.err) {
			return known.answer
		}
	}
	if refused, ok := errors.AsType[*echo.HTTPError](err); ok {
		if found, ok := routing[refused.Code]; ok {
			found.status = refused.Code
			return found
		}
	}
	return unknown
}

// problemHandler writes what a failed request answers, and logs what the answer hides.
func problemHandler(log *zap.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		found, id := answerFor(err), idOf(c)
		if found.status >= http.StatusInternalServerError {
			log.Log(levelOf(found, err), "http request failed", failureFields(err, id)...)
		}
		if c.Response().Committed {
			return // the status is on its way; all that is left is the log
		}
		if err := writeProblem(c, found, id); err != nil {
			log.Debug("http answer not delivered", zap.String("request_id", id), zap.Error(err))
		}
	}
}

// levelOf keeps Error for what somebody has to look into.
func levelOf(found answer, err error) zapcore.Level {
	if found.status == http.StatusServiceUnavailable || errors.Is(err, context.Canceled) {
		return zapcore.WarnLevel
	}
	return zapcore.ErrorLevel
}

func failureFields(err error, id string) []zap.Field {
	fields := []zap.Field{zap.String("request_id", id), zap.Error(err)}
	if caught, ok := errors.AsType[*panicError](err); ok {
		fields = append(fields, zap.ByteString("stack", caught.stack))
	}
	return fields
}

func writeProblem(c echo.Context, found answer, id string) error {
	body, err := json.Marshal(openapi.Problem{
		Type: "about:blank", Title: found.title, Status: found.status,
		Detail: found.detail, Code: found.code, RequestId: id,
	})
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store")
	if found.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(found.retryAfter))
	}
	return c.Blob(found.status, "application/problem+json", append(body, '\n'))
}
