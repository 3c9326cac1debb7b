package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/penstock/penstock/internal/httpapi/validate"
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

// bodyReader reads and checks request bodies.
type bodyReader struct {
	large *semaphore.Weighted // bytes
}

func newBodyReader() *bodyReader { return &bodyReader{semaphore.NewWeighted(largeBodies)} }

// read reads the request's body, checks it as the operation describes it, and leaves it
// in the request for the handler. The caller calls done when the handler has returned.
func (b *bodyReader) read(c echo.Context, op *validate.Operation) (text []byte, done func(), err error) {
	done = func() {}
	request := c.Request()
	if request.ContentLength == 0 && len(request.TransferEncoding) == 0 {
		if op.NeedsBody {
			return nil, done, validate.Refuse("", "must have a body")
		}
		return nil, done, nil
	}
	check, err := checkFor(op, request.Header.Get(echo.HeaderContentType))
	if err != nil {
		return nil, done, err
	}
	if request.ContentLength > maxBody {
		return nil, done, errTooLarge
	}
	if request.ContentLength < 0 || request.ContentLength > smallBody {
		if done, err = b.reserve(request.Context(), request.ContentLength); err != nil {
			return nil, done, err
		}
	}
	if text, err = readAll(request); err != nil {
		return nil, done, err
	}
	if len(text) == 0 && !op.NeedsBody {
		return nil, done, nil
	}
	checked, err := check(text)
	var refused map[int]string
	if err != nil && endsAttempts[op.ID] {
		text, refused = repairAttempts(text)
		checked, err = check(text)
	}
	if err != nil {
		return nil, done, err
	}
	text = checked
	request.Body = &checkedBody{Reader: *bytes.NewReader(text), text: text, refused: refused}
	request.ContentLength = int64(len(text))
	return text, done, nil
}

// checkedBody is a body that has been read and checked.
type checkedBody struct {
	bytes.Reader
	text    []byte
	refused map[int]string // of attempts, whose result repairAttempts took out
}

func (*checkedBody) Close() error { return nil }

// reserve waits for room for a large body.
func (b *bodyReader) reserve(ctx context.Context, length int64) (done func(), err error) {
	if length < 0 {
		length = maxBody
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := b.large.Acquire(ctx, length); err != nil {
		return func() {}, errBusy
	}
	return func() { b.large.Release(length) }, nil
}

func readAll(request *http.Request) ([]byte, error) {
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
		return nil, validate.Refuse("", "must come as long as the request says: %s", err)
	}
	return buffer.Bytes(), nil
}

// checkFor is the check that a body of this type has to pass.
func checkFor(op *validate.Operation, contentType string) (func([]byte) ([]byte, error), error) {
	if op.Bodies == nil {
		return nil, validate.Refuse("", "must have no body")
	}
	media, params, err := mime.ParseMediaType(contentType)
	schema := op.Bodies[media]
	if err != nil || schema == nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return nil, errMediaType
	}
	switch media {
	case validate.JSON:
		return func(text []byte) ([]byte, error) { return schema.Check(text, "") }, nil
	case validate.Lines:
		return schema.CheckLines, nil
	}
	return func(text []byte) ([]byte, error) {
		if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			return nil, validate.Refuse("", "must be text in UTF-8 without NUL")
		}
		return text, nil
	}, nil
}

// jsonBinder decodes what bodyReader has left, and nothing else: the generated code
// binds parameters.
type jsonBinder struct{}

func (jsonBinder) Bind(target any, c echo.Context) error {
	body, ok := c.Request().Body.(*checkedBody)
	if !ok {
		return nil
	}
	err := json.Unmarshal(body.text, target)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return validate.Refuse("/"+strings.ReplaceAll(wrong.Field, ".", "/"), "must be %s", rangeOf(wrong.Type))
	}
	if err != nil {
		return validate.Refuse("", "cannot be read: %s", err)
	}
	return nil
}

// rangeOf says in the API's words what fits a Go type that refused a value of the right
// JSON type.
func rangeOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int32:
		return "a whole number from -2147483648 to 2147483647"
	case reflect.Int, reflect.Int64:
		return "a whole number that fits 64 bits"
	}
	return "as the API's description says"
}
