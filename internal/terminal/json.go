package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// WriteJSON writes v as one indented document. Characters that a terminal would obey
// are escaped, which changes no value: outside strings there are none.
func WriteJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := io.WriteString(out, EscapeUnsafe(b.String()))
	return err
}

func EscapeUnsafe(document string) string {
	var b strings.Builder
	for _, r := range document {
		if r != '\n' && UnsafeRune(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
