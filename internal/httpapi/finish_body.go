package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/penstock/penstock/internal/httpapi/validate"
)

// endsAttempts are the operations whose body lists attempts, each for itself: one that
// has something Postgres cannot store must not keep the others from ending.
var endsAttempts = map[string]bool{"finishAttempts": true, "noteProgress": true}

// cleanedTexts are the fields of an attempt that a person reads. They are cleaned as the
// library cleans the texts of Go's errors.
var cleanedTexts = []string{"error", "errorClass", "detail", "note"}

// repairAttempts makes a body that was refused acceptable where that loses nothing else:
// NUL and broken UTF-8 in cleanedTexts become U+FFFD, and a result that cannot be stored
// is taken out. refused has the reason for each of these, by the attempt's place. A body
// of another form is returned as it came.
func repairAttempts(body []byte) (repaired []byte, refused map[int]string) {
	r := attemptRepair{
		Decoder: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)),
		refused: map[int]string{},
	}
	if err := r.read(); err != nil {
		return body, nil
	}
	from := 0
	for _, e := range r.edits {
		repaired = append(append(repaired, body[from:e.start]...), e.text...)
		from = e.end
	}
	return append(repaired, body[from:]...), r.refused
}

// attemptRepair reads a body with {"attempts": [{…}]}.
type attemptRepair struct {
	*jsontext.Decoder
	refused map[int]string
	edits   []textEdit
}

// textEdit replaces a part of the body.
type textEdit struct {
	start, end int
	text       []byte
}

func (r *attemptRepair) read() error {
	return r.fields(func(name string) error {
		if name != "attempts" || r.PeekKind() != '[' {
			return r.SkipValue()
		}
		if _, err := r.ReadToken(); err != nil {
			return err
		}
		for i := 0; r.PeekKind() != ']'; i++ {
			if err := r.fields(func(name string) error { return r.field(i, name) }); err != nil {
				return err
			}
		}
		_, err := r.ReadToken()
		return err
	})
}

// fields calls do for each field of an object, which reads its value.
func (r *attemptRepair) fields(do func(name string) error) error {
	if r.PeekKind() != '{' {
		return r.SkipValue()
	}
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	for r.PeekKind() == '"' {
		name, err := r.ReadToken()
		if err != nil {
			return err
		}
		if err := do(name.String()); err != nil {
			return err
		}
	}
	_, err := r.ReadToken()
	return err
}

func (r *attemptRepair) field(attempt int, name string) error {
	raw, err := r.ReadValue()
	if err != nil {
		return err
	}
	end := int(r.InputOffset())
	start := end - len(raw)
	switch {
	case name == "result":
		if why := validate.Storable(raw); why != nil {
			r.refused[attempt] = "result " + why.Error()
			r.edits = append(r.edits, textEdit{start, end, []byte("null")})
		}
	case slices.Contains(cleanedTexts, name) && raw.Kind() == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil { // replaces broken UTF-8
			return err
		}
		clean, err := json.Marshal(strings.ReplaceAll(text, "\x00", "\uFFFD"))
		if err != nil {
			return err
		}
		r.edits = append(r.edits, textEdit{start, end, clean})
	}
	return nil
}
