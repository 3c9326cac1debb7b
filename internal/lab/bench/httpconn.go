package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// httpConn is a connection that stays open and sends one request at a time. It writes
// requests itself, without the goroutines of a transport: the client must use little of
// the cores that are measured.
type httpConn struct {
	net.Conn
	reader *bufio.Reader
}

func (s *httpServer) dial(ctx context.Context) (*httpConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("connect to penstock serve: %w", err)
	}
	return &httpConn{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

// onConnection opens a connection and calls send on it until that returns false, or ctx
// ends.
func (s *httpServer) onConnection(ctx context.Context, send func(*httpConn) (more bool, err error)) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	defer context.AfterFunc(ctx, conn.close)() // a request under way ends too
	for {
		more, err := send(conn)
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil || !more {
			return err
		}
	}
}

func (c *httpConn) close() { _ = c.Close() }

// request returns a request as it is sent.
func (s *httpServer) request(method, path, token string, body []byte) []byte {
	text := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, s.address)
	if token != "" {
		text = fmt.Appendf(text, "Authorization: Bearer %s\r\n", token)
	}
	if body != nil {
		text = fmt.Appendf(text, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(append(text, "\r\n"...), body...)
}

// expect sends a request whose answer must have the status.
func (c *httpConn) expect(status int, request []byte) error {
	got, err := c.do(request)
	if err == nil && got != status {
		line, _, _ := strings.Cut(string(request), "\r\n")
		err = fmt.Errorf("%s answers %d", line, got)
	}
	return err
}

// do sends a request and reads the answer to its end.
func (c *httpConn) do(request []byte) (status int, err error) {
	return c.roundTrip(request, io.Discard)
}

// roundTrip sends a request and copies the answer's body.
func (c *httpConn) roundTrip(request []byte, body io.Writer) (status int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, fmt.Errorf("send a request: %w", err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, fmt.Errorf("read an answer: %w", err)
	}
	defer response.Body.Close()
	_, err = io.Copy(body, response.Body)
	return response.StatusCode, err
}
