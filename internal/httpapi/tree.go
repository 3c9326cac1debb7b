package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	maxDepth  = 100     // of arrays and objects in each other
	maxDigits = 350     // of one number as it is written
	maxValues = 300_000 // that a schema looks at; a job's data is not among them
)

// body is a schema that bodies have to satisfy, its shape, and what is certain of it.
type body struct {
	schema  *jsonschema.Schema
	shape   *shape
	certain *certain
}

// check reads one document and holds it to the schema; at is where it stands in the
// request.
func (b *body) check(document []byte, at string) error {
	if b.certain.holds(document) {
		return nil
	}
	value, err := readJSON(document, b.shape, at)
	if err != nil {
		return err
	}
	return checkSchema(b.schema, value, at)
}

// readJSON reads one document of that shape, and returns what its schema looks at as
// plain Go values. It is stricter than JSON: names are unique, text is
// UTF-8 without NUL, numbers fit a 64-bit float, nesting is bounded. What the schema
// leaves open, such as a job's data, is checked and not kept; a list that is too long
// and a field that is unknown end the reading, so that a document costs no more memory
// than its honest like.
func readJSON(document []byte, s *shape, at string) (any, error) {
	r := &treeReader{decoder: jsontext.NewDecoder(bytes.NewBuffer(document)), at: at}
	value, err := r.value(s)
	if err == nil && len(r.unknown) == 0 {
		_, err = r.decoder.ReadToken()
		if err == nil {
			err = errTrailing
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if len(r.unknown) > 0 {
		return nil, r.unknown
	}
	return value, r.explain(err)
}

var errTrailing = errors.New("something follows the document")

// treeReader is a reading under way.
type treeReader struct {
	decoder *jsontext.Decoder
	at      string // where the document stands in the request
	values  int
	unknown fieldErrors // fields that no schema knows
}

// explain turns what jsontext says into a field error.
func (r *treeReader) explain(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[fieldErrors](err); ok {
		return refused
	}
	if errors.Is(err, errTrailing) {
		return refuseField(r.at, "must be one JSON document, and something follows it")
	}
	pointer := r.here()
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if ok {
		pointer = r.at + string(syntax.JSONPointer)
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return refuseField(pointer, "is given twice")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return refuseField(r.at, "must be a JSON document, and this one ends too early")
	case ok && (strings.Contains(err.Error(), "UTF-8") || strings.Contains(err.Error(), "surrogate")):
		return refuseField(pointer, "must be text in UTF-8")
	case ok:
		return refuseField(pointer, "is not JSON: %s at byte %d", strings.TrimPrefix(syntax.Err.Error(), "jsontext: "), syntax.ByteOffset)
	}
	return err
}

func (r *treeReader) here() string { return r.at + string(r.decoder.StackPointer()) }

// value reads the next value as far as somebody will look into it.
func (r *treeReader) value(s *shape) (any, error) {
	if s.open {
		return nil, r.skip()
	}
	if r.values++; r.values > maxValues {
		return nil, refuseField(r.at, "must have fewer than %d values", maxValues)
	}
	switch kind := r.decoder.PeekKind(); kind {
	case '{':
		return r.object(s)
	case '[':
		return r.array(s)
	default:
		raw, err := r.scalar()
		if err != nil {
			return nil, err
		}
		return plainValue(kind, raw)
	}
}

func (r *treeReader) object(s *shape) (any, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for r.decoder.PeekKind() == '"' {
		raw, err := r.scalar()
		if err != nil {
			return nil, err
		}
		name, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return nil, err
		}
		below := s.fields[string(name)]
		if below == nil {
			below = s.others
		}
		if below == nil {
			r.unknown = append(r.unknown, fieldError{r.here(), "is not known here"})
			if len(r.unknown) == maxFieldErrors {
				return nil, r.unknown
			}
			below = openShape
		}
		if object[string(name)], err = r.value(below); err != nil {
			return nil, err
		}
	}
	_, err := r.decoder.ReadToken()
	return object, err
}

func (r *treeReader) array(s *shape) (any, error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	where := r.at + strings.TrimSuffix(string(r.decoder.StackPointer()), "/0")
	list := []any{}
	for {
		switch r.decoder.PeekKind() {
		case ']', 0:
			_, err := r.decoder.ReadToken()
			return list, err
		}
		if s.most >= 0 && len(list) == s.most {
			return nil, refuseField(where, "must have at most %s", count(s.most, "item"))
		}
		item, err := r.value(s.items)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
}

// open reads the bracket that begins an array or object.
func (r *treeReader) open() error {
	if _, err := r.decoder.ReadToken(); err != nil {
		return err
	}
	if r.decoder.StackDepth() > maxDepth {
		return refuseField(r.at, "must not nest deeper than %d levels", maxDepth)
	}
	return nil
}

// skip reads one value and checks it as strictly, without keeping it.
func (r *treeReader) skip() error {
	for depth := r.decoder.StackDepth(); ; {
		switch r.decoder.PeekKind() {
		case '{', '[':
			if err := r.open(); err != nil {
				return err
			}
		case '}', ']':
			if _, err := r.decoder.ReadToken(); err != nil {
				return err
			}
		default:
			if _, err := r.scalar(); err != nil {
				return err
			}
		}
		if r.decoder.StackDepth() == depth {
			return nil
		}
	}
}

// scalar reads a string, number or literal. A string that ends here may be a name.
func (r *treeReader) scalar() (jsontext.Value, error) {
	kind := r.decoder.PeekKind()
	raw, err := r.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	switch kind {
	case '"':
		if holdsNUL(raw) {
			return nil, refuseField(r.here(), `must be free of \u0000, which Postgres cannot store`)
		}
	case '0':
		if len(raw) > maxDigits {
			return nil, refuseField(r.here(), "must be a number of at most %d characters", maxDigits)
		}
		if _, err := strconv.ParseFloat(string(raw), 64); err != nil {
			return nil, refuseField(r.here(), "must be a number that fits a 64-bit float")
		}
	}
	return raw, nil
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
		i++ // whatever is escaped cannot begin an escape
	}
	return false
}

// plainValue is what a schema validates. A whole number stays whole, so that it costs
// no big arithmetic.
func plainValue(kind jsontext.Kind, raw jsontext.Value) (any, error) {
	switch kind {
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		return string(text), err
	case 't', 'f':
		return kind == 't', nil
	case 'n':
		return nil, nil
	}
	if whole, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return whole, nil
	}
	number, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil, fmt.Errorf("read number: %w", err)
	}
	return number, nil
}
