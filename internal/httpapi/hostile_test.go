package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi/validate"
)

// raw speaks to the server as no library would.
type raw struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, url string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	return &raw{t, conn}
}

func (r *raw) say(format string, args ...any) {
	r.t.Helper()
	_, err := fmt.Fprintf(r, format, args...)
	require.NoError(r.t, err)
}

// answer is the status and the body of what the server says next.
func (r *raw) answer() (int, string) {
	r.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(r), nil)
	require.NoError(r.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	return response.StatusCode, string(body)
}

// closes reads until the server hangs up.
func (r *raw) closes() string {
	r.t.Helper()
	said, _ := io.ReadAll(r)
	return string(said)
}

const thingsHead = "POST /queues/a/things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// peak measures how far the heap grows while do runs, with what is garbage collected
// soon, so that it counts little.
func peak(do func()) (grown int64) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), now.HeapAlloc))
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return int64(most.Load()) - int64(before.HeapAlloc)
}

func TestAGigabyteInChunksIsCutOffAtEightMebibytes(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{})
	conn := dial(t, url)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat(" ", 1<<20))
	var sent int
	grown := peak(func() {
		conn.say("%sTransfer-Encoding: chunked\r\n\r\n", thingsHead)
		for range 1024 {
			n, err := io.WriteString(conn, chunk)
			if sent += n; err != nil {
				break
			}
		}
	})
	require.Less(t, sent, 64<<20, "the server hangs up, it does not read to the end")
	require.Less(t, grown, int64(64<<20))
	stop()
	require.NoError(t, <-ended)
}

func TestABodyThatIsTooLongIsRefusedBeforeItComes(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{})
	conn := dial(t, url)
	conn.say("%sContent-Length: 1073741824\r\n\r\n", thingsHead)
	status, body := conn.answer()
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	require.Contains(t, body, `"code":"too_large"`)
	stop()
	require.NoError(t, <-ended)
}

// Many large bodies at once wait for each other: the heap does not grow with them.
func TestManyLargeBodiesAtOnceStayWithinTheirRoom(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{})
	body := `{"name":"` + strings.Repeat("a", maxBody-11) + `"}`
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	statuses := make(chan int, 16) // twice what there is room for
	grown := peak(func() {
		for range cap(statuses) {
			go func() {
				response, err := client.Post(url+"/queues/a/things", validate.JSON, strings.NewReader(body))
				if err != nil {
					statuses <- 0
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				statuses <- response.StatusCode
			}()
		}
		for range cap(statuses) {
			require.Equal(t, http.StatusOK, <-statuses)
		}
	})
	require.Less(t, grown, int64(6*largeBodies), "each is held a few times over, but no more than eight of them")
	transport.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)
}

func TestSlowHeadersAndBodiesAreNotWaitedFor(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{headers: 200 * time.Millisecond, body: 400 * time.Millisecond})
	t.Run("headers", func(t *testing.T) {
		conn := dial(t, url)
		conn.say("GET /healthz HTTP/1.1\r\nHost: local")
		require.Empty(t, conn.closes())
	})
	t.Run("a body", func(t *testing.T) {
		conn := dial(t, url)
		conn.say("%sContent-Length: 20\r\n\r\n{\"name\":", thingsHead)
		status, body := conn.answer()
		require.Equal(t, http.StatusRequestTimeout, status)
		require.Contains(t, body, `"code":"timeout"`)
	})
	stop()
	require.NoError(t, <-ended)
}

func TestRequestsThatLieAboutThemselvesAreRefused(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{})
	for _, c := range []struct {
		name, request string
		status        int
		says          string
	}{
		{"a length that is not one", thingsHead + "Content-Length: x\r\n\r\n", 400, "400 Bad Request"},
		{"a negative length", thingsHead + "Content-Length: -1\r\n\r\n", 400, "400 Bad Request"},
		{"two lengths", thingsHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "400 Bad Request"},
		{"an unknown encoding", thingsHead + "Transfer-Encoding: gzip\r\n\r\n", 501, "501 Not Implemented"},
		{"a shorter length than the body", thingsHead + "Content-Length: 1\r\nConnection: close\r\n\r\n{}", 400, "ends too early"},
		{"chunks that are none", thingsHead + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n", 400, `"code":"invalid_argument"`},
		{"no host", "GET /queues/a/things HTTP/1.1\r\n\r\n", 400, "400 Bad Request"},
		{"two hosts", "GET /queues/a/things HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", 400, "400 Bad Request"},
		{"a header with a NUL", "GET /queues/a/things HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400, "400 Bad Request"},
		{"a header in two lines", "GET /queues/a/things HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n", 400, "400 Bad Request"},
		{"a method in small letters", "get /queues/a/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, `"code":"method_not_allowed"`},
		{"a method that nobody has", "BREW /queues/a/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, `"code":"method_not_allowed"`},
		{"TRACE", "TRACE /queues/a/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, `"code":"method_not_allowed"`},
		{"CONNECT", "CONNECT localhost:5432 HTTP/1.1\r\nHost: localhost:5432\r\n\r\n", 404, `"code":"not_found"`},
		{"a proxy's request", "GET http://10.0.0.7/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, `"code":"not_found"`},
		{"a way up", "GET /queues/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, `"code":"not_found"`},
		{"a version there is not", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505, "505 HTTP Version Not Supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, url)
			conn.say("%s", c.request)
			status, body := conn.answer()
			if !strings.Contains(body, c.says) {
				body = fmt.Sprintf("%d %s: %s", status, http.StatusText(status), body)
			}
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.says)
		})
	}
	stop()
	require.NoError(t, <-ended)
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	url, stop, ended := serving(t, toy(t, echoBody), ServeConfig{})
	conn := dial(t, url)
	conn.say("%sContent-Length: 100\r\n\r\n{\"name\":\"a\"}", thingsHead)
	require.NoError(t, conn.Conn.(*net.TCPConn).CloseWrite())
	status, body := conn.answer()
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "must come as long as the request says")
	stop()
	require.NoError(t, <-ended)
}

func TestDeepJSONCostsNothing(t *testing.T) {
	e := toy(t, echoBody)
	document := `{"name":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`
	grown := peak(func() {
		require.Equal(t, []string{"must not nest deeper than 100 levels"},
			wrongIn(t, send(e, "POST", "/queues/a/things", document, "Content-Type", validate.JSON)))
	})
	require.Less(t, grown, int64(8<<20))
}
