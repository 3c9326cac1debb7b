package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
	"github.com/penstock/penstock/internal/testkit"
)

// enqueueThing is a handler that has an effect.
func enqueueThing(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := requestInfoOf(ctx).client.Enqueue(ctx, penstock.NewJob{Queue: c.Param("queueName"), Name: "thing"})
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", "/things/"+strconv.FormatInt(id, 10))
	return c.JSON(http.StatusCreated, map[string]string{"id": strconv.FormatInt(id, 10)})
}

// keyed is a toy with a database, of which nobody asks for a token.
func keyed(t *testing.T, handle echo.HandlerFunc) (e *echo.Echo, jobs func() int) {
	t.Helper()
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	s := newService(Deps{Client: client, Loopback: true}, []byte(toyDocument))
	s.tokens.armed.Store(true) // nor will it look for one again
	return s.toy(t, handle), func() (n int) {
		require.NoError(t, db.Pool.QueryRow(t.Context(), "SELECT count(*) FROM penstock.jobs").Scan(&n))
		return n
	}
}

func post(e http.Handler, key, body string, headers ...string) (int, http.Header, string) {
	recorder := send(e, "POST", "/queues/a/things", body, append(headers, "Content-Type", validate.JSON, idempotencyKey, key)...)
	return recorder.Code, recorder.Header(), recorder.Body.String()
}

func TestTheSameKeyAndRequestGetTheSameAnswer(t *testing.T) { // P7
	t.Parallel()
	e, jobs := keyed(t, enqueueThing)
	status, header, body := post(e, "k", `{"name":"a"}`)
	require.Equal(t, http.StatusCreated, status)
	require.Empty(t, header.Get("Idempotency-Replayed"))
	for range 3 {
		again, repeated, same := post(e, "k", `{"name":"a"}`)
		require.Equal(t, status, again)
		require.Equal(t, body, same)
		require.Equal(t, header.Get("Location"), repeated.Get("Location"))
		require.Equal(t, header.Get("Content-Type"), repeated.Get("Content-Type"))
		require.Equal(t, "true", repeated.Get("Idempotency-Replayed"))
	}
	require.Equal(t, 1, jobs())

	status, _, _ = post(e, "another", `{"name":"a"}`)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, 2, jobs())
}

func TestTheSameKeyForAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	e, jobs := keyed(t, enqueueThing)
	status, _, _ := post(e, "k", `{"name":"a"}`)
	require.Equal(t, http.StatusCreated, status)
	recorder := send(e, "POST", "/queues/a/things", `{"name":"b"}`, "Content-Type", validate.JSON, idempotencyKey, "k")
	require.Equal(t, http.StatusUnprocessableEntity, recorder.Code)
	require.Equal(t, "idempotency_key_reused", problemIn(t, recorder).Code)
	recorder = send(e, "POST", "/queues/b/things", `{"name":"a"}`, "Content-Type", validate.JSON, idempotencyKey, "k")
	require.Equal(t, http.StatusUnprocessableEntity, recorder.Code, "another queue is another request")
	require.Equal(t, 1, jobs())
}

func TestAKeyIsBusyUntilItsFirstRequestHasEnded(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	e, jobs := keyed(t, func(c echo.Context) error {
		close(begun)
		<-release
		return enqueueThing(c)
	})
	first := make(chan int, 1)
	go func() { status, _, _ := post(e, "k", `{}`); first <- status }()
	<-begun
	recorder := send(e, "POST", "/queues/a/things", `{}`, "Content-Type", validate.JSON, idempotencyKey, "k")
	require.Equal(t, http.StatusConflict, recorder.Code)
	require.Equal(t, "idempotency_key_busy", problemIn(t, recorder).Code)
	close(release)
	require.Equal(t, http.StatusCreated, <-first)
	status, header, _ := post(e, "k", `{}`)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, "true", header.Get("Idempotency-Replayed"))
	require.Equal(t, 1, jobs())
}

func TestAFailureLeavesNothingAndIsNotKept(t *testing.T) {
	t.Parallel()
	fail := true
	e, jobs := keyed(t, func(c echo.Context) error {
		if err := enqueueThing(c); err != nil || !fail {
			return err
		}
		return errors.New("after the effect")
	})
	recorder := send(e, "POST", "/queues/a/things", `{}`, "Content-Type", validate.JSON, idempotencyKey, "k")
	require.Equal(t, http.StatusInternalServerError, recorder.Code)
	require.Equal(t, "internal", problemIn(t, recorder).Code, "what was answered before the failure is not sent")
	require.Zero(t, jobs())
	fail = false
	status, header, _ := post(e, "k", `{}`)
	require.Equal(t, http.StatusCreated, status)
	require.Empty(t, header.Get("Idempotency-Replayed"))
	require.Equal(t, 1, jobs())
}

// The reply is lost at the worst moment: after the commit, before the client reads it.
func TestALostReplyIsFoundAgain(t *testing.T) { // P3, P7
	t.Parallel()
	e, jobs := keyed(t, enqueueThing)
	recorder := &lostAnswer{header: http.Header{}}
	request := newRequest("POST", "/queues/a/things", `{"name":"a"}`, "Content-Type", validate.JSON, idempotencyKey, "k")
	e.ServeHTTP(recorder, request)
	require.Equal(t, 1, jobs(), "it was committed")
	status, header, body := post(e, "k", `{"name":"a"}`)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, "true", header.Get("Idempotency-Replayed"))
	require.Contains(t, body, `"id"`)
	require.Equal(t, 1, jobs())
}

// lostAnswer is a client that has gone.
type lostAnswer struct{ header http.Header }

func (l *lostAnswer) Header() http.Header       { return l.header }
func (l *lostAnswer) WriteHeader(int)           {}
func (l *lostAnswer) Write([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestKeysOfDifferentTokensDoNotMeet(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, enqueueThing)
	_, one := newTestToken(t, client, penstock.NewToken{Name: "one", Role: penstock.RoleProducer})
	_, two := newTestToken(t, client, penstock.NewToken{Name: "two", Role: penstock.RoleProducer})
	_, _, first := post(e, "k", `{}`, "Authorization", "Bearer "+one)
	status, header, second := post(e, "k", `{"name":"other"}`, "Authorization", "Bearer "+two)
	require.Equal(t, http.StatusCreated, status)
	require.Empty(t, header.Get("Idempotency-Replayed"))
	require.NotEqual(t, first, second)
}

func TestAKeyIsOneToTwoHundredFiftySixCharactersOnce(t *testing.T) {
	t.Parallel()
	e, jobs := keyed(t, enqueueThing)
	status, _, _ := post(e, strings.Repeat("é", 256), `{}`)
	require.Equal(t, http.StatusCreated, status)
	recorder := send(e, "POST", "/queues/a/things", `{}`, "Content-Type", validate.JSON, idempotencyKey, strings.Repeat("k", 257))
	require.Equal(t, http.StatusBadRequest, recorder.Code)
	recorder = send(e, "POST", "/queues/a/things", `{}`, "Content-Type", validate.JSON, idempotencyKey, "a", idempotencyKey, "b")
	require.Equal(t, []string{"Idempotency-Key must be given once"}, wrongIn(t, recorder))
	require.Equal(t, 1, jobs())
}
