package main

import (
	"strings"

	"github.com/penstock/penstock/internal/terminal"
)

// head keeps the first limit bytes written to it and notes whether there were more.
type head struct {
	limit int
	text  []byte
	cut   bool
}

func (h *head) Write(p []byte) (int, error) {
	room := min(len(p), h.limit-len(h.text))
	h.text = append(h.text, p[:room]...)
	h.cut = h.cut || room < len(p)
	return len(p), nil
}

// tail keeps the last limit bytes written to it.
type tail struct {
	limit int
	text  []byte // up to twice limit, so that cutting is rare
}

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p[max(0, len(p)-t.limit):]...)
	if len(t.text) > 2*t.limit {
		t.text = append(t.text[:0], t.text[len(t.text)-t.limit:]...)
	}
	return len(p), nil
}

// String is the tail as text that Postgres and a terminal can take: valid UTF-8,
// without control characters but line breaks and tabs, trimmed.
func (t *tail) String() string {
	last := t.text[max(0, len(t.text)-t.limit):]
	return strings.TrimSpace(terminal.PlainLines(strings.ToValidUTF8(string(last), "")))
}
