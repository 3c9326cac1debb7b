package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/httpapi/validate"
	"github.com/penstock/penstock/internal/replies"
)

// errNotReady: Postgres or its schema cannot serve requests now.
var errNotReady = errors.New("not ready")

// answer is what a kind of error looks like from outside.
type answer struct {
	status     int
	code       string // stable; clients switch on it
	title      string
	detail     string
	retryAfter int // seconds; 0 leaves the header out
	fields     validate.FieldErrors
}

// away answers while Postgres cannot be used.
var away = answer{
	status: http.StatusServiceUnavailable, code: "unavailable", title: "Unavailable", retryAfter: 1,
	detail: "The database does not answer at the moment. Nothing was changed.",
}

// overLimit answers a request that had no answer from the database within its time.
var overLimit = answer{
	status: http.StatusServiceUnavailable, code: "timeout", title: "Request took too long", retryAfter: 5,
	detail: "The database did not finish in time. Narrow the request, or repeat it when the server has less to do.",
}

// locked answers when another transaction holds a row for too long.
var locked = answer{
	status: http.StatusConflict, code: "locked", title: "Locked", retryAfter: 1,
	detail: "Another transaction holds what this request needs. Nothing was changed; repeat it in a moment.",
}

// badRequest answers a request whose fields say what is wrong.
var badRequest = answer{
	status: http.StatusBadRequest, code: "invalid_argument", title: "Invalid argument",
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
	{errNoToken, answer{
		status: http.StatusUnauthorized, code: "unauthorized", title: "Unauthorized",
		detail: "Send a valid token: Authorization: Bearer pen_<id>_<secret>. `penstock token create` makes one.",
	}},
	{errForbidden, answer{
		status: http.StatusForbidden, code: "forbidden", title: "Forbidden",
		detail: "The token's role does not allow this operation.",
	}},
	{errForeignQueue, answer{
		status: http.StatusForbidden, code: "forbidden_queue", title: "Forbidden queue",
		detail: "The token does not cover this queue, or not all that the request is about; name a queue it covers.",
	}},
	{errForeignHost, answer{
		status: http.StatusForbidden, code: "forbidden_host", title: "Forbidden host",
		detail: "Until the first token exists, send requests to a loopback address or to localhost.",
	}},
	{errProxied, answer{
		status: http.StatusUnauthorized, code: "unauthorized", title: "Unauthorized",
		detail: "The request came through a proxy, and behind one every client needs a token. Make the first with `penstock token create`.",
	}},
	{errCrossOrigin, answer{
		status: http.StatusForbidden, code: "cross_origin", title: "Cross-origin request",
		detail: "A browser may not write here on behalf of another site's page.",
	}},
	{errRate, answer{
		status: http.StatusTooManyRequests, code: "rate_limited", title: "Too many requests", retryAfter: 1,
		detail: "The token sends more requests per second than it may.",
	}},
	{errDeep, answer{
		status: http.StatusTooManyRequests, code: "queue_full", title: "Queue full", retryAfter: 1,
		detail: "The queue holds as many waiting jobs as this server allows. Nothing was enqueued.",
	}},
	{errStaleTokens, away},
	{errTooLarge, answer{
		status: http.StatusRequestEntityTooLarge, code: "too_large", title: "Too large",
		detail: "A body may have 8 MiB. Send the jobs in several requests.",
	}},
	{errMediaType, answer{
		status: http.StatusUnsupportedMediaType, code: "unsupported_media_type", title: "Unsupported media type",
		detail: "This operation does not take a body of this type; most take application/json, in UTF-8.",
	}},
	{errSlowBody, answer{
		status: http.StatusRequestTimeout, code: "timeout", title: "Request timeout",
		detail: "The body did not come within 30 seconds.",
	}},
	{errBusy, answer{
		status: http.StatusServiceUnavailable, code: "busy", title: "Busy", retryAfter: 1,
		detail: "Too many large bodies are being read at once. Nothing was changed.",
	}},
	{penstock.ErrJobNotFound, answer{
		status: http.StatusNotFound, code: "job_not_found", title: "Job not found",
		detail: "There is no such job, or it ended longer ago than jobs are kept, or the token does not cover its queue.",
	}},
	{penstock.ErrDeadJobNotFound, answer{
		status: http.StatusNotFound, code: "dead_job_not_found", title: "Dead job not found",
		detail: "The dead letter queue has no such entry, or the token does not cover its queue.",
	}},
	{penstock.ErrRedriveNotFound, answer{
		status: http.StatusNotFound, code: "redrive_not_found", title: "Redrive not found",
		detail: "There is no such redrive, or the token does not cover its queue.",
	}},
	{penstock.ErrTaskNotFound, answer{
		status: http.StatusNotFound, code: "task_not_found", title: "Task not found",
		detail: "There is no scheduled task of that name.",
	}},
	{penstock.ErrTokenNotFound, answer{
		status: http.StatusNotFound, code: "token_not_found", title: "Token not found",
		detail: "There is no such token, or it can no longer be used.",
	}},
	{replies.ErrKeyBusy, answer{
		status: http.StatusConflict, code: "idempotency_key_busy", title: "Idempotency key busy",
		detail: "The first request with this Idempotency-Key is still under way; repeat this one in a moment.",
	}},
	{replies.ErrKeyReused, answer{
		status: http.StatusUnprocessableEntity, code: "idempotency_key_reused", title: "Idempotency key reused",
		detail: "This Idempotency-Key was used for another request. Use a new one.",
	}},
	{penstock.ErrLeaseLost, answer{
		status: http.StatusConflict, code: "lease_lost", title: "Lease lost",
		detail: "Another worker owns the job now, or it has ended. Drop the result.",
	}},
	{penstock.ErrWorkerGone, answer{
		status: http.StatusGone, code: "worker_gone", title: "Worker gone",
		detail: "The worker sent no heartbeat for too long and was removed; its jobs went to others. Register again.",
	}},
	{penstock.ErrConflict, answer{
		status: http.StatusConflict, code: "conflict", title: "Conflict",
		detail: "The current state does not allow this. Read it again.",
	}},
	{penstock.ErrOutcomeUnknown, answer{
		status: http.StatusGatewayTimeout, code: "outcome_unknown", title: "Outcome unknown",
		detail: "The connection to the database broke before its answer: the request may have had its effect. " +
			"With an Idempotency-Key a repeat has the effect once.",
	}},
}

// unknown answers every error that no table explains.
var unknown = answer{
	status: http.StatusInternalServerError, code: "internal", title: "Internal error",
	detail: "The server failed. Its log explains this under the request id.",
}

// routing answers what Echo itself refuses before a handler runs, by status.
var routing = map[int]answer{
	http.StatusBadRequest:       {code: "bad_request", title: "Bad request", detail: "The request could not be read; see the API's description."},
	http.StatusNotFound:         {code: "not_found", title: "Not found", detail: "Nothing is served at this path."},
	http.StatusMethodNotAllowed: {code: "method_not_allowed", title: "Method not allowed", detail: "The Allow header lists what this path takes."},
}

// answerFor finds how err, of the request that ctx belongs to, looks from outside;
// unknown when nothing else fits.
func answerFor(ctx context.Context, err error) answer {
	if wrong := fieldsOf(ctx, err); wrong != nil {
		found := badRequest
		found.fields, found.detail = wrong, wrong.Summary()+" Nothing was changed."
		return found
	}
	for _, known := range answers {
		if errors.Is(err, known.err) {
			found := known.answer
			if why := conflictIn(err); known.err == penstock.ErrConflict && why != "" {
				found.detail = why
			}
			if slow, ok := errors.AsType[slowDown](err); ok {
				found.retryAfter = max(1, int(math.Ceil(slow.wait.Seconds())))
			}
			return found
		}
	}
	if refused, ok := errors.AsType[*echo.HTTPError](err); ok {
		if found, ok := routing[refused.Code]; ok {
			found.status = refused.Code
			return found
		}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" {
		return locked
	}
	if postgresAway(err) {
		if errors.Is(context.Cause(ctx), errOverLimit) {
			return overLimit
		}
		return away
	}
	return unknown
}

// conflictIn is the sentence that says which state forbids the request. The library and
// the functions in migrations/ write it for callers.
func conflictIn(err error) string {
	_, why, _ := strings.Cut(err.Error(), penstock.ErrConflict.Error()+": ")
	if why == "" {
		return ""
	}
	return strings.ToUpper(why[:1]) + strings.TrimSuffix(why[1:], ".") + "."
}

// postgresAway reports whether the database could not be used, as opposed to having
// refused the statement: it did not answer, or it starts, stops, is a standby, has
// no room, or gave up on a lock or a time limit.
func postgresAway(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "25006", "40001", "40P01", "57014":
			return true
		}
		return slices.Contains([]string{"08", "53", "57", "58"}, pg.Code[:min(2, len(pg.Code))])
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok { // broken connections and deadlines of ours
		return true
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

// problemHandler writes what a failed request answers, and logs what the answer hides.
func problemHandler(log *zap.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		found, id := answerFor(c.Request().Context(), err), idOf(c)
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

// levelOf keeps Error for what an operator has to look into.
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
	problem := openapi.Problem{
		Type: "about:blank", Title: found.title, Status: found.status,
		Detail: found.detail, Code: found.code, RequestId: id,
	}
	for _, f := range found.fields {
		problem.Errors = append(problem.Errors, openapi.FieldError{Pointer: f.Pointer, Detail: f.Detail})
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // pen_<id>_<secret> is to be read, and the answer is no page
	if err := encoder.Encode(problem); err != nil {
		return err
	}
	header := c.Response().Header()
	if found.status == http.StatusUnauthorized {
		header.Set(echo.HeaderWWWAuthenticate, "Bearer")
	}
	if found.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(found.retryAfter))
	}
	return c.Blob(found.status, "application/problem+json", body.Bytes())
}
