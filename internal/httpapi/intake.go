package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

const (
	maxBody = 8 << 20 // bytes of a request's body

	// A body larger than smallBody is read only while all such bodies together stay
	// within largeBodies: the server's memory does not grow with its clients.
	smallBody   = 128 << 10
	largeBodies = 64 << 20
)

var (
	errTooLarge  = errors.New("the body is larger than 8 MiB")
	errMediaType = errors.New("the body's type is not taken here")
	errSlowBody  = errors.New("the body did not come in time")
	errBusy      = errors.New("too many large bodies at once")
)

// intake reads bodies.
type intake struct {
	large *semaphore.Weighted // bytes
}

func newIntake() *intake { return &intake{semaphore.NewWeighted(largeBodies)} }

// take reads the request's body, checks it as the operation describes it, and leaves it
// in the request for the handler. The caller calls done when the handler has returned.
func (in *intake) take(c echo.Context, op *operation) (text []byte, done func(), err error) {
	done = func() {}
	request := c.Request()
	if request.ContentLength == 0 && len(request.TransferEncoding) == 0 {
		if op.needs {
			return nil, done, refuseField("", "must have a body")
		}
		return nil, done, nil
	}
	expected, err := op.bodyFor(request.Header.Get(echo.HeaderContentType))
	if err != nil {
		return nil, done, err
	}
	if request.ContentLength > maxBody {
		return nil, done, errTooLarge
	}
	if request.ContentLength < 0 || request.ContentLength > smallBody {
		if done, err = in.reserve(request.Context(), request.ContentLength); err != nil {
			return nil, done, err
		}
	}
	if text, err = readBody(request); err != nil {
		return nil, done, err
	}
	if len(text) == 0 && !op.needs {
		return nil, done, nil
	}
	if err := expected(text); err != nil {
		return nil, done, err
	}
	request.Body = &heldBody{Reader: *bytes.NewReader(text), text: text}
	request.ContentLength = int64(len(text))
	return text, done, nil
}

// heldBody is a body that has been read, for who wants it as text or once more.
type heldBody struct {
	bytes.Reader
	text []byte
}

func (*heldBody) Close() error { return nil }

// reserve waits for room for a large body, as long as its client does.
func (in *intake) reserve(ctx context.Context, length int64) (done func(), err error) {
	if length < 0 {
		length = maxBody
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := in.large.Acquire(ctx, length); err != nil {
		return func() {}, errBusy
	}
	return func() { in.large.Release(length) }, nil
}

func readBody(request *http.Request) ([]byte, error) {
	var buffer bytes.Buffer
	if length := request.ContentLength; length > 0 {
		buffer.Grow(int(min(length, smallBody)) + bytes.MinRead) // the rest as it comes: a length may be a lie
	}
	n, err := buffer.ReadFrom(io.LimitReader(request.Body, maxBody+1))
	var timeout interface{ Timeout() bool }
	switch {
	case n > maxBody:
		return nil, errTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, errSlowBody
	case err != nil:
		return nil, refuseField("", "must come as long as the request says: %s", err)
	}
	return buffer.Bytes(), nil
}

// bodyFor is the check that a body of this type has to pass.
func (o *operation) bodyFor(contentType string) (func([]byte) error, error) {
	if o.bodies == nil {
		return nil, refuseField("", "must have no body")
	}
	media, params, err := mime.ParseMediaType(contentType)
	expected := o.bodies[media]
	if err != nil || expected == nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return nil, errMediaType
	}
	switch media {
	case jsonType:
		return func(text []byte) error { return expected.check(text, "") }, nil
	case ndjsonType:
		return expected.checkLines, nil
	}
	return func(text []byte) error {
		if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			return refuseField("", "must be text in UTF-8 without NUL")
		}
		return nil
	}, nil
}

// checkLines holds each line to the schema; the pointers begin with the line's place.
// Empty lines are passed over.
func (b *body) checkLines(text []byte) error {
	line := 0
	for each := range bytes.Lines(text) {
		if each = bytes.TrimSpace(each); len(each) == 0 {
			continue
		}
		if line == maxLines {
			return refuseField("", "must have at most %d lines", maxLines)
		}
		if err := b.check(each, fmt.Sprintf("/%d", line)); err != nil {
			return err
		}
		line++
	}
	if line == 0 {
		return refuseField("", "must have at least 1 line")
	}
	return nil
}

// maxLines is how many jobs one request may bring, as in JSON.
const maxLines = 10_000

// jsonBinder decodes what take has left, and nothing else: parameters are bound by the
// generated code.
type jsonBinder struct{}

func (jsonBinder) Bind(target any, c echo.Context) error {
	held, ok := c.Request().Body.(*heldBody)
	if !ok {
		return nil
	}
	err := json.Unmarshal(held.text, target)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return refuseField("/"+strings.ReplaceAll(wrong.Field, ".", "/"), "must be %s, got %s", wrong.Type, wrong.Value)
	}
	if err != nil {
		return refuseField("", "cannot be read: %s", err)
	}
	return nil
}
