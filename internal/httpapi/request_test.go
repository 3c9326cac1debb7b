package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

// toyDocument describes operations enough to send every kind of request.
const toyDocument = `
paths:
  /queues/{queueName}/things:
    parameters: [{name: queueName, in: path, required: true, schema: {type: string, pattern: "^[a-z/]{1,9}$"}}]
    get:
      operationId: listThings
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 500}}
        - {name: share, in: query, schema: {type: number, maximum: 1}}
        - {name: all, in: query, schema: {type: boolean}}
        - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 3}, maxItems: 2}}
        - {name: traceparent, in: header, schema: {type: string, maxLength: 5}}
    post:
      operationId: addThing
      parameters: [{name: Idempotency-Key, in: header, schema: {type: string, minLength: 1, maxLength: 256}}]
      requestBody:
        required: true
        content:
          application/json: {schema: {type: object, additionalProperties: false, properties: {name: {type: string}, n: {type: integer}}}}
          application/x-ndjson: {schema: {type: object, additionalProperties: false, properties: {name: {type: string}}}}
          text/plain: {schema: {type: string}}
  /things/{id}:
    delete: {operationId: dropThing, parameters: [{name: id, in: path, required: true, schema: {type: string}}]}
`

// toy is a server of toyDocument, on loopback and without a database, where there are
// no tokens and nobody is asked for one.
func toy(t *testing.T, handle echo.HandlerFunc) *echo.Echo {
	t.Helper()
	s := newService(Deps{Loopback: true}, []byte(toyDocument))
	s.tokens.current.Store(&tokenList{read: time.Now().Add(time.Hour)}) // there are no tokens, nor will be
	return s.toy(t, handle)
}

// toy has handle answer every operation of the service. Those of toyDocument are for
// operators, but for addThing, which producers may do too.
func (s *service) toy(t *testing.T, handle echo.HandlerFunc) *echo.Echo {
	t.Helper()
	e := s.router()
	for _, op := range s.description.Operations {
		s.roles[op.ID] = operators
		e.Add(op.Method, op.Route, handle)
	}
	s.roles["addThing"] = producers
	return e
}

func echoBody(c echo.Context) error {
	text, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, string(text))
}

// send gives one request to the handler and returns the answer.
func send(e http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return sendAs(e, "localhost", method, path, body, headers...)
}

// sendAs sends it to a server by that name.
func sendAs(e http.Handler, host, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	request := newRequest(method, path, body, headers...)
	request.Host = host
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, request)
	return recorder
}

func newRequest(method, path, body string, headers ...string) *http.Request {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Host = "localhost"
	if body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return request
}

// wrongIn lists a problem's fields as "pointer detail".
func wrongIn(t *testing.T, recorder *httptest.ResponseRecorder) (wrong []string) {
	t.Helper()
	problem := problemIn(t, recorder)
	require.Equal(t, "invalid_argument", problem.Code)
	require.Equal(t, http.StatusBadRequest, recorder.Code)
	for _, e := range problem.Errors {
		wrong = append(wrong, strings.TrimSpace(e.Pointer+" "+e.Detail))
	}
	return wrong
}

func TestBadParametersAreNamed(t *testing.T) {
	e := toy(t, echoBody)
	for _, c := range []struct {
		name, path string
		headers    []string
		wrong      []string
	}{
		{"good ones pass", "/queues/a/things?limit=500&share=0.5&all=true&tag=a&tag=b", []string{"traceparent", "00"}, nil},
		{"a slash in a name is escaped", "/queues/a%2Fb/things", nil, nil},
		{"an unknown one", "/queues/a/things?limits=5", nil, []string{"limits is not known here"}},
		{"one given twice", "/queues/a/things?limit=5&limit=6", nil, []string{"limit must be given once"}},
		{"a limit as a float", "/queues/a/things?limit=1e9", nil, []string{"limit must be a whole number"}},
		{"a limit beyond 64 bits", "/queues/a/things?limit=99999999999999999999", nil, []string{"limit must be a whole number"}},
		{"a limit that is too large", "/queues/a/things?limit=1000000000", nil, []string{"limit must be at most 500"}},
		{"a negative limit", "/queues/a/things?limit=-1", nil, []string{"limit must be at least 1"}},
		{"an empty limit", "/queues/a/things?limit=", nil, []string{"limit must be a whole number"}},
		{"not a number", "/queues/a/things?share=NaN", nil, []string{"share must be a number"}},
		{"an infinite number", "/queues/a/things?share=1e999", nil, []string{"share must be a number"}},
		{"a boolean in other words", "/queues/a/things?all=yes", nil, []string{"all must be true or false"}},
		{"an item that is too long", "/queues/a/things?tag=abcd", nil, []string{"tag must have at most 3 characters, got 4"}},
		{"too many items", "/queues/a/things?tag=a&tag=b&tag=c", nil, []string{"tag must have at most 2 items"}},
		{"NUL in a parameter", "/queues/a/things?tag=%00", nil, []string{"tag must be text in UTF-8 without NUL"}},
		{"bad UTF-8 in a parameter", "/queues/a/things?tag=%ff", nil, []string{"tag must be text in UTF-8 without NUL"}},
		{"a newline in a queue's name", "/queues/a%0Ab/things", nil, []string{"queueName must match ^[a-z/]{1,9}$"}},
		{"NUL in a queue's name", "/queues/a%00/things", nil, []string{"queueName must be text in UTF-8 without NUL"}},
		{"SQL in a queue's name", "/queues/a'--/things", nil, []string{"queueName must match ^[a-z/]{1,9}$"}},
		{"dots as a queue's name", "/queues/%2e%2e%2f/things", nil, []string{"queueName must match ^[a-z/]{1,9}$"}},
		{"a header that is too long", "/queues/a/things", []string{"traceparent", "000000"}, []string{"traceparent must have at most 5 characters, got 6"}},
		{"a header given twice", "/queues/a/things", []string{"traceparent", "0", "traceparent", "1"}, []string{"traceparent must be given once"}},
		{"a query that is not one", "/queues/a/things?limit=%zz", nil, []string{`must have a query that is percent-encoded: invalid URL escape "%zz"`}},
		{"several at once", "/queues/A/things?limit=0&x=1", nil, []string{"limit must be at least 1", "queueName must match ^[a-z/]{1,9}$", "x is not known here"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder := send(e, http.MethodGet, c.path, "", c.headers...)
			if c.wrong == nil {
				require.Equal(t, http.StatusOK, recorder.Code, recorder.Body)
				return
			}
			require.Equal(t, c.wrong, wrongIn(t, recorder))
		})
	}
}

func TestBodiesAreTakenAsDescribed(t *testing.T) {
	e := toy(t, echoBody)
	for _, c := range []struct {
		name, method, path, media, body string
		status                          int
		says                            string // the body when it passes, else the problem's code
	}{
		{"JSON reaches the handler", "POST", "/queues/a/things", "application/json", `{"name":"a"}`, 200, `{"name":"a"}`},
		{"a charset is named", "POST", "/queues/a/things", "application/json; charset=UTF-8", `{"name":"a"}`, 200, `{"name":"a"}`},
		{"another charset", "POST", "/queues/a/things", "application/json; charset=latin1", `{"name":"a"}`, 415, "unsupported_media_type"},
		{"no type", "POST", "/queues/a/things", "", `{"name":"a"}`, 415, "unsupported_media_type"},
		{"a type that is none", "POST", "/queues/a/things", "application/json;;;=", `{"name":"a"}`, 415, "unsupported_media_type"},
		{"a form", "POST", "/queues/a/things", "application/x-www-form-urlencoded", `name=a`, 415, "unsupported_media_type"},
		{"lines", "POST", "/queues/a/things", "application/x-ndjson", "{\"name\":\"a\"}\n\n{\"name\":\"b\"}", 200, "{\"name\":\"a\"}\n\n{\"name\":\"b\"}"},
		{"a bad line", "POST", "/queues/a/things", "application/x-ndjson", "{\"name\":\"a\"}\n{\"name\":1}", 400, "/1/name must be string, got number"},
		{"half a line", "POST", "/queues/a/things", "application/x-ndjson", "{\"name\":\"a\"}\n{\"name\"", 400, "/1 must be a JSON document, and this one ends too early"},
		{"no lines", "POST", "/queues/a/things", "application/x-ndjson", "\n\n", 400, "must have at least 1 line"},
		{"too many lines", "POST", "/queues/a/things", "application/x-ndjson", strings.Repeat("{}\n", 10_001), 400, "must have at most 10000 lines"},
		{"text", "POST", "/queues/a/things", "text/plain", "a\nb", 200, "a\nb"},
		{"text with NUL", "POST", "/queues/a/things", "text/plain", "a\x00b", 400, "must be text in UTF-8 without NUL"},
		{"no body where one is due", "POST", "/queues/a/things", "application/json", "", 400, "must have a body"},
		{"a body where none is due", "DELETE", "/things/1", "application/json", "{}", 400, "must have no body"},
		{"8 MiB and no more", "POST", "/queues/a/things", "application/json", `{"name":"` + strings.Repeat("a", maxBody-11) + `"}`, 200, ""},
		{"8 MiB and a byte", "POST", "/queues/a/things", "application/json", `{"name":"` + strings.Repeat("a", maxBody-10) + `"}`, 413, "too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder := send(e, c.method, c.path, c.body, "Content-Type", c.media)
			switch {
			case c.status == 200:
				require.Equal(t, 200, recorder.Code)
				if c.says != "" {
					require.Equal(t, c.says, recorder.Body.String())
				}
			case c.status == 400:
				require.Equal(t, []string{c.says}, wrongIn(t, recorder))
			default:
				require.Equal(t, c.status, recorder.Code)
				require.Equal(t, c.says, problemIn(t, recorder).Code)
			}
		})
	}
}

func TestTheBinderSaysWhatTheSchemaCouldNot(t *testing.T) {
	e := toy(t, func(c echo.Context) error {
		var thing struct {
			N int32 `json:"n"`
		}
		if err := c.Bind(&thing); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
	path := "/queues/a/things"
	require.Equal(t, http.StatusNoContent, send(e, "POST", path, `{"n":5}`, "Content-Type", validate.JSON).Code)
	require.Equal(t, []string{"/n must be a whole number from -2147483648 to 2147483647"}, wrongIn(t, send(e, "POST", path, `{"n":4294967296}`, "Content-Type", validate.JSON)))
}

func TestErrorsOfTheLibraryBecomeProblems(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
		says   string
	}{
		{&penstock.ArgumentError{Argument: "max_attempts", Message: "no"}, 400, "invalid_argument", "/maxAttempts no"},
		{&penstock.ArgumentError{Argument: "retry.backoffMultiplier", Message: "no"}, 400, "invalid_argument", "/retryStrategy/backoffMultiplier no"},
		{&penstock.ArgumentError{Argument: "queue", Message: "no"}, 400, "invalid_argument", "queueName no"},
		{penstock.ErrJobNotFound, 404, "job_not_found", ""},
		{penstock.ErrDeadJobNotFound, 404, "dead_job_not_found", ""},
		{penstock.ErrRedriveNotFound, 404, "redrive_not_found", ""},
		{penstock.ErrConflict, 409, "conflict", ""},
		{penstock.ErrLeaseLost, 409, "lease_lost", ""},
		{penstock.ErrWorkerGone, 410, "worker_gone", ""},
		{penstock.ErrOutcomeUnknown, 504, "outcome_unknown", ""},
		{&pgconn.PgError{Code: "57P01"}, 503, "unavailable", ""},
		{&pgconn.PgError{Code: "53300"}, 503, "unavailable", ""},
		{&pgconn.PgError{Code: "25006"}, 503, "unavailable", ""},
		{&pgconn.ConnectError{}, 503, "unavailable", ""},
		{io.ErrUnexpectedEOF, 503, "unavailable", ""},
		{&pgconn.PgError{Code: "42P01"}, 500, "internal", ""},
	} {
		t.Run(fmt.Sprintf("%T %v", c.err, c.code), func(t *testing.T) {
			e := toy(t, func(echo.Context) error { return fmt.Errorf("do: %w", c.err) })
			recorder := send(e, "GET", "/queues/a/things", "")
			require.Equal(t, c.status, recorder.Code)
			problem := problemIn(t, recorder)
			require.Equal(t, c.code, problem.Code)
			require.Equal(t, c.status == 503, recorder.Header().Get("Retry-After") != "")
			if c.says != "" {
				require.Equal(t, []string{c.says}, wrongIn(t, recorder))
			}
		})
	}
}
