package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// serving starts Serve on a free port. stop begins the drain; ended yields its result.
func serving(t *testing.T, handler http.Handler, cfg ServeConfig) (url string, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, listener, handler, cfg) }()
	return "http://" + listener.Addr().String(), cancel, result
}

// fetch asks on a connection of its own and returns the status.
func fetch(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	return response.StatusCode
}

// held is a handler that says when it has begun and waits for its release.
func held() (handler echo.HandlerFunc, begun, release chan struct{}) {
	begun, release = make(chan struct{}), make(chan struct{})
	return func(c echo.Context) error {
		close(begun)
		select {
		case <-release:
			return c.NoContent(http.StatusNoContent)
		case <-c.Request().Context().Done():
			return c.Request().Context().Err()
		}
	}, begun, release
}

func TestServeFinishesRequestsUnderWayBeforeItReturns(t *testing.T) {
	e := New(Deps{})
	handler, begun, release := held()
	e.GET("/held", handler)
	url, stop, ended := serving(t, e, ServeConfig{})

	status := make(chan int, 1)
	go func() { status <- fetch(t, url+"/held") }()
	<-begun
	stop()
	select {
	case err := <-ended:
		t.Fatalf("Serve returned %v while a request was under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	require.Equal(t, http.StatusNoContent, <-status)
	require.NoError(t, <-ended)
}

func TestServeSaysNotReadyBeforeItStopsListening(t *testing.T) {
	e := New(Deps{})
	drained := make(chan struct{})
	e.GET("/waits", func(c echo.Context) error {
		close(drained)
		<-Draining(c.Request().Context())
		return c.NoContent(http.StatusNoContent)
	})
	url, stop, ended := serving(t, e, ServeConfig{Announce: 2 * time.Second})
	require.Equal(t, http.StatusOK, fetch(t, url+"/readyz"))

	status := make(chan int, 1)
	go func() { status <- fetch(t, url+"/waits") }()
	<-drained
	stop()
	require.Equal(t, http.StatusNoContent, <-status, "the drain's start ends what waits")
	require.Equal(t, http.StatusServiceUnavailable, fetch(t, url+"/readyz"), "new connections are still taken")
	require.Equal(t, http.StatusOK, fetch(t, url+"/healthz"))
	require.NoError(t, <-ended)
}

func TestServeCutsOffWhatOutlivesTheLimit(t *testing.T) {
	e := New(Deps{})
	handler, begun, _ := held()
	e.GET("/held", handler)
	url, stop, ended := serving(t, e, ServeConfig{Limit: 20 * time.Millisecond})

	cut := make(chan error, 1)
	go func() {
		response, err := http.Get(url + "/held")
		if err == nil {
			err = errors.Join(errors.New("answered"), response.Body.Close())
		}
		cut <- err
	}()
	<-begun
	stop()
	require.ErrorIs(t, <-ended, context.DeadlineExceeded)
	require.ErrorIs(t, <-cut, io.EOF)
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	err = Serve(t.Context(), listener, New(Deps{}), ServeConfig{})
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, listener.Addr().String())
}

func TestServeRefusesHugeHeaders(t *testing.T) {
	url, stop, ended := serving(t, New(Deps{}), ServeConfig{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("a", maxHeaderBytes+8192))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	stop()
	require.NoError(t, <-ended)
}
