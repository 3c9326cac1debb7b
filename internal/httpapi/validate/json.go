package validate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A document is read more strictly than JSON asks: names are unique, text is UTF-8
// without NUL, numbers fit a 64-bit float, nesting is bounded. These rules hold for a
// job's data too.
const (
	maxDepth  = 100 // of arrays and objects in each other
	maxDigits = 350 // of one number as it is written
)

var errTrailing = errors.New("something follows the document")

// byteOrderMark is what some editors put before UTF-8. JSON has no place for it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// reader reads one document.
type reader struct {
	*jsontext.Decoder
	at string // the document's place in the request
}

func newReader(document []byte, at string) reader {
	return reader{jsontext.NewDecoder(bytes.NewBuffer(document)), at}
}

// here is the pointer of the value that was read last.
func (r reader) here() string { return r.at + string(r.StackPointer()) }

// open reads the bracket that begins an array or object.
func (r reader) open() error {
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	if r.StackDepth() > maxDepth {
		return Refuse(r.at, "must not nest deeper than %d levels", maxDepth)
	}
	return nil
}

// skip reads one value under the same rules and keeps nothing of it.
func (r reader) skip() error {
	for depth := r.StackDepth(); ; {
		switch r.PeekKind() {
		case '{', '[':
			if err := r.open(); err != nil {
				return err
			}
		case '}', ']':
			if _, err := r.ReadToken(); err != nil {
				return err
			}
		default:
			if _, _, err := r.scalar(); err != nil {
				return err
			}
		}
		if r.StackDepth() == depth {
			return nil
		}
	}
}

// scalar reads a string, number or literal; number is its value if it is one. A string
// may be the name of a field.
func (r reader) scalar() (raw jsontext.Value, number float64, err error) {
	kind := r.PeekKind()
	if raw, err = r.ReadValue(); err != nil {
		return nil, 0, err
	}
	switch kind {
	case '"':
		if holdsNUL(raw) {
			return nil, 0, Refuse(r.here(), `must be free of \u0000, which Postgres cannot store`)
		}
	case '0':
		if len(raw) > maxDigits {
			return nil, 0, Refuse(r.here(), "must be a number of at most %d characters", maxDigits)
		}
		if number, err = strconv.ParseFloat(string(raw), 64); err != nil {
			return nil, 0, Refuse(r.here(), "must be a number that fits a 64-bit float")
		}
	}
	return raw, number, nil
}

// unquote returns a string's text; most strings have no escapes and need no copy.
func unquote(raw jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote(nil, raw)
}

// holdsNUL looks for an escaped NUL in a quoted string that is valid JSON.
func holdsNUL(quoted []byte) bool {
	for i := bytes.IndexByte(quoted, '\\'); i >= 0 && i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(quoted[i:], []byte(`\u0000`)) {
			return true
		}
		i++ // the escaped character cannot begin an escape
	}
	return false
}

// explain turns what jsontext reports into a field error.
func (r reader) explain(document []byte, err error) error {
	if refused, ok := errors.AsType[FieldErrors](err); ok {
		return refused
	}
	if errors.Is(err, errTrailing) {
		return Refuse(r.at, "must be one JSON document, and something follows it")
	}
	if bytes.HasPrefix(document, byteOrderMark) {
		return Refuse(r.at, "is not JSON: it begins with a byte order mark (EF BB BF); send UTF-8 without one")
	}
	pointer := r.here()
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if ok {
		pointer = r.at + string(syntax.JSONPointer)
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return Refuse(pointer, "is given twice")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Refuse(r.at, "must be a JSON document, and this one ends too early")
	case ok && (strings.Contains(err.Error(), "UTF-8") || strings.Contains(err.Error(), "surrogate")):
		return Refuse(pointer, "must be text in UTF-8")
	case ok:
		return Refuse(pointer, "is not JSON: %s at byte %d", strings.TrimPrefix(syntax.Err.Error(), "jsontext: "), syntax.ByteOffset)
	}
	return fmt.Errorf("read JSON: %w", err)
}
