package httpapi

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// Behind a reverse proxy on the same machine every client seems to come from loopback.
func TestAProxyEndsTheAccessWithoutAToken(t *testing.T) {
	api := toy(t, echoBody)
	s := newService(Deps{Loopback: true}, openapi.Spec)
	s.tokens.current.Store(&tokenList{read: time.Now().Add(time.Hour)}) // there are no tokens, nor will be
	admin := s.adminRouter(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	require.Equal(t, http.StatusOK, send(api, "GET", "/queues/a/things", "").Code)
	for header, value := range map[string]string{
		"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "jobs.example", "X-Real-IP": "203.0.113.9",
		"Forwarded": "for=203.0.113.9", "Via": "1.1 proxy", "X-Forwarded-Port": "",
	} {
		recorder := send(api, "GET", "/queues/a/things", "", header, value)
		require.Equal(t, http.StatusUnauthorized, recorder.Code, header)
		problem := problemIn(t, recorder)
		require.Equal(t, "unauthorized", problem.Code)
		require.Contains(t, problem.Detail, "proxy")
		require.Contains(t, problem.Detail, "penstock token create")
		require.Equal(t, http.StatusUnauthorized, send(admin, "GET", "/metrics", "", header, value).Code, header)
	}
}

// A page of another site can make its own name point to 127.0.0.1, but the browser
// still sends that name.
func TestWithoutATokenTheServerAnswersOnlyByALoopbackName(t *testing.T) {
	api := toy(t, echoBody)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "[::1]:8080": 200, "[::1]": 200,
		"evil.example": 403, "localhost.evil.example:8080": 403, "127.0.0.1.evil.example": 403, "10.0.0.7": 403,
	} {
		recorder := sendAs(api, host, "GET", "/queues/a/things", "")
		require.Equal(t, status, recorder.Code, host)
		if status == 403 {
			require.Equal(t, "forbidden_host", problemIn(t, recorder).Code)
		}
	}
}

// Over the whole life of a wait: the token is asked for again.
func TestARevokedTokenEndsTheWaitsOfItsRequests(t *testing.T) {
	t.Parallel()
	waited := make(chan error, 1)
	s, e, client := guarded(t, Deps{}, func(c echo.Context) error {
		within, stop := waiting(c.Request().Context())
		defer stop()
		<-within.Done()
		err := waitedFor(within, c.Request().Context(), within.Err())
		waited <- err
		return err
	})
	_ = s
	id, token := newTestToken(t, client, penstock.NewToken{Name: "one", Role: penstock.RoleOperator})
	status := make(chan int, 1)
	go func() { status <- send(e, "GET", "/queues/a/things", "", "Authorization", "Bearer "+token).Code }()
	time.Sleep(100 * time.Millisecond)
	require.NoError(t, client.Tokens.Revoke(t.Context(), id))
	require.ErrorIs(t, <-waited, errNoToken)
	require.Equal(t, http.StatusUnauthorized, <-status)
}

func TestAReaderOfOneQueueSeesNothingElseOfAWorker(t *testing.T) {
	t.Parallel()
	info := &requestInfo{caller: callerOf(&penstock.Token{ID: "t", Role: penstock.RoleReader, Queues: []string{"mine", "team-*"}})}
	ctx := context.WithValue(t.Context(), requestInfoKey{}, info)
	w := penstock.WorkerInfo{
		Queues:   []string{"foreign", "mine", "team-a"},
		Handlers: []string{"foreign secret", "mine mail", "team-a *"},
	}
	hideForeign(ctx, &w)
	require.Equal(t, []string{"mine", "team-a"}, w.Queues)
	require.Equal(t, []string{"mine mail", "team-a *"}, w.Handlers)
}
