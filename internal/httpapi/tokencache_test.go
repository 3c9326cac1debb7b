package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// guarded is a toy on a database of its own.
func guarded(t *testing.T, deps Deps, handle echo.HandlerFunc) (*service, *echo.Echo, *penstock.Client) {
	t.Helper()
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	deps.Client = client
	s := newService(deps, []byte(toyDocument))
	t.Cleanup(func() { // the next poll would outlive the database
		require.Eventually(t, func() bool { return !s.tokens.armed.Load() }, 2*tokenPoll, 10*time.Millisecond)
	})
	return s, s.toy(t, handle), client
}

func newTestToken(t *testing.T, client *penstock.Client, token penstock.NewToken) (id, text string) {
	t.Helper()
	issued, err := client.Tokens.Create(t.Context(), token)
	require.NoError(t, err)
	return issued.ID, issued.Text
}

// ask sends a request that needs an operator and returns the status and code.
func ask(t *testing.T, e http.Handler, token string) (int, string) {
	t.Helper()
	return asked(t, e, http.MethodGet, "/queues/a/things", token)
}

func asked(t *testing.T, e http.Handler, method, path, token string) (int, string) {
	t.Helper()
	recorder := send(e, method, path, "", "Authorization", "Bearer "+token)
	if recorder.Code < 400 {
		return recorder.Code, ""
	}
	return recorder.Code, problemIn(t, recorder).Code
}

func TestATokenIsAskedForBeyondLoopback(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, echoBody)
	recorder := send(e, http.MethodGet, "/queues/a/things", "")
	require.Equal(t, http.StatusUnauthorized, recorder.Code)
	require.Equal(t, "Bearer", recorder.Header().Get("WWW-Authenticate"))
	require.Equal(t, "unauthorized", problemIn(t, recorder).Code)

	_, token := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusOK, status, "a token works at once")
}

func TestLoopbackAsksForATokenOnceThereIsOne(t *testing.T) {
	t.Parallel()
	s, e, client := guarded(t, Deps{Loopback: true}, echoBody)
	require.Equal(t, http.StatusOK, send(e, http.MethodGet, "/queues/a/things", "").Code)

	id, _ := newTestToken(t, client, penstock.NewToken{Name: "first", Role: penstock.RoleReader})
	require.NoError(t, client.Tokens.Revoke(t.Context(), id), "one that is revoked counts too")
	s.tokens.current.Store(nil)
	require.Equal(t, http.StatusUnauthorized, send(e, http.MethodGet, "/queues/a/things", "").Code)
}

// A page can make a name of its own point to 127.0.0.1, and then reads what it gets.
func TestWithoutTokensOnlyLoopbacksOwnNamesAreAnswered(t *testing.T) {
	t.Parallel()
	e := toy(t, echoBody)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "127.8.8.8": 200, "[::1]:8080": 200, "[::1]": 200,
		"evil.example:8080": 403, "localhost.evil.example": 403, "10.0.0.7": 403, "": 403,
	} {
		recorder := sendAs(e, host, http.MethodGet, "/queues/a/things", "")
		require.Equal(t, status, recorder.Code, host)
		if status == 403 {
			require.Equal(t, "forbidden_host", problemIn(t, recorder).Code)
		}
	}
}

func TestUnknownWrongExpiredAndRevokedTokensGetOneAnswer(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, echoBody)
	id, good := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	_, other := newTestToken(t, client, penstock.NewToken{Name: "other", Role: penstock.RoleOperator})
	gone, revoked := newTestToken(t, client, penstock.NewToken{Name: "gone", Role: penstock.RoleOperator})
	require.NoError(t, client.Tokens.Revoke(t.Context(), gone))
	_, secret, ok := penstock.SplitToken(other)
	require.True(t, ok)

	bodies := map[string]bool{}
	for name, header := range map[string][]string{
		"none":               nil,
		"empty":              {"Authorization", ""},
		"another scheme":     {"Authorization", "Basic " + good},
		"no scheme":          {"Authorization", good},
		"two at once":        {"Authorization", "Bearer " + good, "Authorization", "Bearer " + good},
		"unknown":            {"Authorization", "Bearer pen_aaaaaaaaaaaa_" + secret},
		"another's secret":   {"Authorization", "Bearer pen_" + id + "_" + secret},
		"half a secret":      {"Authorization", "Bearer " + good[:len(good)-1]},
		"a secret and more":  {"Authorization", "Bearer " + good + "x"},
		"no secret":          {"Authorization", "Bearer pen_" + id + "_"},
		"no id":              {"Authorization", "Bearer pen__" + secret},
		"revoked":            {"Authorization", "Bearer " + revoked},
		"SQL":                {"Authorization", "Bearer pen_' OR true --_x"},
		"a very long secret": {"Authorization", "Bearer pen_" + id + "_" + strings.Repeat("a", 20_000)},
	} {
		recorder := send(e, http.MethodGet, "/queues/a/things", "", header...)
		require.Equal(t, http.StatusUnauthorized, recorder.Code, name)
		problem := problemIn(t, recorder)
		bodies[strings.ReplaceAll(recorder.Body.String(), problem.RequestId, "")] = true
	}
	require.Len(t, bodies, 1, "no answer tells more than another")
	status, _ := ask(t, e, good)
	require.Equal(t, http.StatusOK, status)
}

func TestARevocationHoldsWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, echoBody)
	id, token := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, client.Tokens.Revoke(t.Context(), id))
	require.Eventually(t, func() bool {
		status, _ := ask(t, e, token)
		return status == http.StatusUnauthorized
	}, tokenLife, 50*time.Millisecond)
}

// What was read is believed for five seconds and no longer: a revocation that cannot be
// heard of may have been.
func TestWithoutPostgresNobodyIsLetInForLong(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	pool, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	_, token := newTestToken(t, pool, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	s := newService(Deps{Client: pool}, []byte(toyDocument))
	e := s.toy(t, echoBody)
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusOK, status)

	db.Pool.Close()
	status, _ = ask(t, e, token)
	require.Equal(t, http.StatusOK, status, "what was just read is believed")
	old := *s.tokens.current.Load()
	old.read = old.read.Add(-tokenLife)
	s.tokens.current.Store(&old)
	recorder := send(e, http.MethodGet, "/queues/a/things", "", "Authorization", "Bearer "+token)
	require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	require.Equal(t, "unavailable", problemIn(t, recorder).Code)
	require.NotEmpty(t, recorder.Header().Get("Retry-After"))
	require.Eventually(t, func() bool { return !s.tokens.armed.Load() }, 2*tokenPoll, 10*time.Millisecond)
}

func TestTwoSecretsLiveWhileATokenRotates(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, echoBody)
	id, first := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	second, err := client.Tokens.Rotate(t.Context(), id, time.Hour)
	require.NoError(t, err)
	for _, token := range []string{first, second.Text} {
		status, _ := ask(t, e, token)
		require.Equal(t, http.StatusOK, status)
	}
	third, err := client.Tokens.Rotate(t.Context(), id, 0)
	require.NoError(t, err)
	status, _ := ask(t, e, third.Text)
	require.Equal(t, http.StatusOK, status, "a new secret works at once")
	for _, token := range []string{first, second.Text} {
		status, _ = ask(t, e, token)
		require.Equal(t, http.StatusUnauthorized, status, "an overlap of 0 ends the old ones")
	}
}

func TestAnExpiredTokenIsRefusedByTheDatabasesClock(t *testing.T) { // P12
	t.Parallel()
	s, e, client := guarded(t, Deps{}, echoBody)
	_, token := newTestToken(t, client, penstock.NewToken{Name: "brief", Role: penstock.RoleOperator, ExpiresIn: time.Minute})
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusOK, status)
	later := *s.tokens.current.Load()
	later.now = later.now.Add(time.Minute)
	s.tokens.current.Store(&later)
	require.False(t, func() bool { _, ok := later.admit(penstockID(token), penstockSecret(token)); return ok }())
}

func penstockID(token string) string     { id, _, _ := penstock.SplitToken(token); return id }
func penstockSecret(token string) string { _, secret, _ := penstock.SplitToken(token); return secret }

func TestATokenReachesItsRolesAndQueuesOnly(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, echoBody)
	_, shop := newTestToken(t, client, penstock.NewToken{Name: "shop", Role: penstock.RoleProducer, Queues: []string{"mail", "b*"}})
	_, all := newTestToken(t, client, penstock.NewToken{Name: "all", Role: penstock.RoleOperator, Queues: []string{"*"}})
	for _, c := range []struct {
		name, method, path, token string
		status                    int
		code                      string
	}{
		{"a producer adds", "POST", "/queues/mail/things", shop, 400, "invalid_argument"}, // it has no body
		{"to a queue by its beginning", "POST", "/queues/bill/things", shop, 400, "invalid_argument"},
		{"to no other", "POST", "/queues/mails/things", shop, 403, "forbidden_queue"},
		{"however that is written", "POST", "/queues/%6dails/things", shop, 403, "forbidden_queue"},
		{"a producer does not look", "GET", "/queues/mail/things", shop, 403, "forbidden"},
		{"every queue is every queue", "GET", "/queues/x/things", all, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, code := asked(t, e, c.method, c.path, c.token)
			require.Equal(t, c.status, status)
			require.Equal(t, c.code, code)
		})
	}
}

func TestTheAuditLogNamesTheToken(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{}, func(c echo.Context) error {
		ctx := c.Request().Context()
		if err := requestInfoOf(ctx).client.Queues.Pause(ctx, c.Param("queueName")); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
	_, token := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusNoContent, status)
	page, err := client.Audit.List(t.Context(), penstock.AuditQuery{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, "token:ops", page.Items[0].Actor)
	require.Equal(t, "queues.insert", page.Items[0].Action)
	require.Equal(t, "api_tokens.insert", page.Items[1].Action)
	require.NotContains(t, string(page.Items[1].After), "secret", "no hash is in the log")
}

func TestATokenSpendsItsRate(t *testing.T) {
	t.Parallel()
	_, e, client := guarded(t, Deps{TokenRate: 3}, echoBody)
	_, token := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	_, other := newTestToken(t, client, penstock.NewToken{Name: "other", Role: penstock.RoleOperator})
	refused := 0
	for range 10 {
		recorder := send(e, http.MethodGet, "/queues/a/things", "", "Authorization", "Bearer "+token)
		if recorder.Code == http.StatusTooManyRequests {
			refused++
			require.Equal(t, "rate_limited", problemIn(t, recorder).Code)
			require.Equal(t, "1", recorder.Header().Get("Retry-After"))
		}
	}
	require.Positive(t, refused)
	status, _ := ask(t, e, other)
	require.Equal(t, http.StatusOK, status, "each token has its own")
}

func TestUsesOfATokenAreNoted(t *testing.T) {
	t.Parallel()
	s, e, client := guarded(t, Deps{}, echoBody)
	_, token := newTestToken(t, client, penstock.NewToken{Name: "ops", Role: penstock.RoleOperator})
	changes := func() []penstock.AuditLine {
		page, err := client.Audit.List(t.Context(), penstock.AuditQuery{Limit: 10})
		require.NoError(t, err)
		return page.Items
	}
	before := changes()
	status, _ := ask(t, e, token)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, s.tokens.noteUses(context.Background()))
	list, err := client.Tokens.List(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, list.Now, *list.Tokens[0].LastUsedAt, 10*time.Second)
	require.Equal(t, before, changes(), "a use is no change")
}

func TestBrowsersMayNotWriteForOtherSites(t *testing.T) {
	t.Parallel()
	e := toy(t, echoBody)
	for _, c := range []struct {
		name, method string
		headers      []string
		refused      bool
	}{
		{"a page of another site", "POST", []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"one of a sibling", "POST", []string{"Sec-Fetch-Site", "same-site"}, true},
		{"another origin in an old browser", "DELETE", []string{"Origin", "https://evil.example"}, true},
		{"a file's null origin", "POST", []string{"Origin", "null"}, true},
		{"our own page", "POST", []string{"Sec-Fetch-Site", "same-origin"}, false},
		{"our own origin", "POST", []string{"Origin", "http://localhost"}, false},
		{"no browser", "POST", nil, false},
		{"reading is the browser's to refuse", "GET", []string{"Sec-Fetch-Site", "cross-site"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "/queues/a/things"
			if c.method == "DELETE" {
				path = "/things/1"
			}
			recorder := send(e, c.method, path, "", c.headers...)
			require.Equal(t, c.refused, recorder.Code == http.StatusForbidden)
			if c.refused {
				require.Equal(t, "cross_origin", problemIn(t, recorder).Code)
			}
			require.Equal(t, "nosniff", recorder.Header().Get("X-Content-Type-Options"))
			require.Contains(t, recorder.Header().Get("Content-Security-Policy"), "default-src 'none'")
			require.Empty(t, recorder.Header().Get("Access-Control-Allow-Origin"))
		})
	}
}
