package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// get sends one request to the whole stack and returns the answer and the log.
func get(t *testing.T, deps Deps, path string, extra ...func(*echo.Echo, *http.Request)) (*httptest.ResponseRecorder, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	deps.Log = zap.New(core)
	e := New(deps)
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for _, change := range extra {
		change(e, request)
	}
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, request)
	return recorder, logs
}

// problemIn decodes a problem and checks what every problem has in common.
func problemIn(t *testing.T, recorder *httptest.ResponseRecorder) openapi.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", recorder.Header().Get("Content-Type"))
	var problem openapi.Problem
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &problem))
	require.Equal(t, recorder.Code, problem.Status)
	require.Equal(t, recorder.Header().Get("X-Request-Id"), problem.RequestId)
	require.NotEmpty(t, problem.RequestId)
	return problem
}

func TestHealthzAnswersWithoutAskingPostgres(t *testing.T) {
	asked := false
	recorder, _ := get(t, Deps{Ready: func(context.Context) error { asked = true; return errors.New("down") }}, "/healthz")
	require.Equal(t, http.StatusOK, recorder.Code)
	require.JSONEq(t, `{"status":"ok"}`, recorder.Body.String())
	require.False(t, asked)
}

func TestReadyzAnswers200WhileReady(t *testing.T) {
	recorder, _ := get(t, Deps{}, "/readyz")
	require.Equal(t, http.StatusOK, recorder.Code)
	require.JSONEq(t, `{"status":"ready"}`, recorder.Body.String())
}

func TestReadyzBoundsItsCheck(t *testing.T) {
	_, _ = get(t, Deps{Ready: func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		return nil
	}}, "/readyz")
}

func TestReadyzTellsTheClientWhenAndTheLogWhy(t *testing.T) {
	down := errors.New("dial 10.0.0.7: password authentication failed for user app")
	recorder, logs := get(t, Deps{Ready: func(context.Context) error { return down }}, "/readyz")

	require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	require.Equal(t, "1", recorder.Header().Get("Retry-After"))
	require.Equal(t, "not_ready", problemIn(t, recorder).Code)
	require.NotContains(t, recorder.Body.String(), "10.0.0.7")

	failures := logs.FilterMessage("http request failed").All()
	require.Len(t, failures, 1)
	require.Equal(t, zap.WarnLevel, failures[0].Level)
	require.Contains(t, failures[0].ContextMap()["error"], "10.0.0.7")
}

func TestRefusedRoutesAnswerProblems(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		status             int
		code               string
	}{
		{"an unknown path is not found", http.MethodGet, "/nowhere", http.StatusNotFound, "not_found"},
		{"a known path refuses other methods", http.MethodDelete, "/healthz", http.StatusMethodNotAllowed, "method_not_allowed"},
		{"an odd method is refused too", "BREW", "/readyz", http.StatusMethodNotAllowed, "method_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder, logs := get(t, Deps{}, c.path, func(_ *echo.Echo, r *http.Request) { r.Method = c.method })
			require.Equal(t, c.status, recorder.Code)
			require.Equal(t, c.code, problemIn(t, recorder).Code)
			require.Zero(t, logs.FilterMessage("http request failed").Len())
		})
	}
}

func TestUnknownErrorsAndPanicsShareOneBodyAndTheLogHasTheStory(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler echo.HandlerFunc
		inLog   string
		stack   bool
	}{
		{"an error nobody mapped", func(echo.Context) error { return errors.New("secret: column x") }, "secret: column x", false},
		{"a panic with a value that does not compare", func(echo.Context) error { panic([]string{"secret"}) }, "panic: [secret]", true},
		{"an Echo error with an unlisted status", func(echo.Context) error { return echo.NewHTTPError(599, "secret") }, "secret", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder, logs := get(t, Deps{}, "/breaks", func(e *echo.Echo, _ *http.Request) { e.GET("/breaks", c.handler) })

			problem := problemIn(t, recorder)
			require.Equal(t, http.StatusInternalServerError, recorder.Code)
			require.Equal(t, "internal", problem.Code)
			require.NotContains(t, recorder.Body.String(), "secret")

			failures := logs.FilterMessage("http request failed").All()
			require.Len(t, failures, 1)
			fields := failures[0].ContextMap()
			require.Equal(t, problem.RequestId, fields["request_id"])
			require.Contains(t, fields["error"], c.inLog)
			require.Equal(t, c.stack, fields["stack"] != nil)
		})
	}
}

func TestAbortHandlerDropsTheConnection(t *testing.T) {
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		get(t, Deps{}, "/aborts", func(e *echo.Echo, _ *http.Request) {
			e.GET("/aborts", func(echo.Context) error { panic(http.ErrAbortHandler) })
		})
	})
}

func TestAccessLogHasNoQueryAndNoHeaders(t *testing.T) {
	long := "/" + strings.Repeat("a", 5000)
	_, logs := get(t, Deps{}, long+"?token=pen_secret", func(_ *echo.Echo, r *http.Request) {
		r.Header.Set("Authorization", "Bearer pen_secret")
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.RemoteAddr = "192.0.2.1:4000"
	})
	lines := logs.FilterMessage("http request").All()
	require.Len(t, lines, 1)
	fields := lines[0].ContextMap()
	require.EqualValues(t, http.StatusNotFound, fields["status"])
	require.Equal(t, "192.0.2.1", fields["remote_ip"])
	require.Less(t, len(fields["path"].(string)), 250)
	for _, value := range fields {
		if text, ok := value.(string); ok {
			require.NotContains(t, text, "pen_secret")
		}
	}
}

func TestSuccessfulProbesLogAtDebugOnly(t *testing.T) {
	_, logs := get(t, Deps{}, "/healthz")
	require.Equal(t, zap.DebugLevel, logs.FilterMessage("http request").All()[0].Level)
	_, logs = get(t, Deps{Ready: func(context.Context) error { return errors.New("down") }}, "/readyz")
	require.Equal(t, zap.InfoLevel, logs.FilterMessage("http request").All()[0].Level)
}

func TestRequestIDIsTheClientsOnlyWhenPlain(t *testing.T) {
	for _, c := range []struct {
		name, sent string
		kept       bool
	}{
		{"a plain id is kept", "build-7.step_2", true},
		{"64 bytes are kept", strings.Repeat("a", 64), true},
		{"65 bytes are replaced", strings.Repeat("a", 65), false},
		{"a newline is replaced", "a\nb", false},
		{"other alphabets are replaced", "идентификатор", false},
		{"none is made up", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder, _ := get(t, Deps{}, "/healthz", func(_ *echo.Echo, r *http.Request) {
				r.Header["X-Request-Id"] = []string{c.sent}
			})
			got := recorder.Header().Get("X-Request-Id")
			require.NotEmpty(t, got)
			require.Equal(t, c.kept, got == c.sent)
		})
	}
}
