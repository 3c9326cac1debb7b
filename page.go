package penstock

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"time"

	"github.com/penstock/penstock/internal/safetext"
)

// Page is part of a list. Next is where it goes on: the Cursor of the same query;
// empty at the end. A page can be short, even empty, and still have a Next: a
// filter that few rows satisfy stops reading after so many.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

const (
	defaultPage = 50
	mostPage    = 500
	mostScanned = 10_000 // rows read for one page

	// mostPageBytes is how much data, as JSON, the items of a page may have before the
	// last one: a page of large jobs is short.
	mostPageBytes = 4 << 20
)

func pageSize(limit int) (int32, error) {
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > mostPage {
		return 0, refuse("limit", "1 to 500", limit)
	}
	return int32(limit), nil
}

// cursor is a key in a list and a digest of the query it belongs to.
type cursor struct {
	Query uint64    `json:"q"`
	ID    int64     `json:"i,string"`
	At    time.Time `json:"t,omitzero"`
}

func queryDigest(parts ...any) uint64 {
	h := fnv.New64a()
	_ = json.NewEncoder(h).Encode(parts) // hashes never fail to be written to
	return h.Sum64()
}

func (c cursor) String() string {
	text, _ := json.Marshal(c) // of plain fields
	return base64.RawURLEncoding.EncodeToString(text)
}

// readCursor is the key a cursor of this query holds, nil for an empty text.
func readCursor(text string, query uint64) (*cursor, error) {
	if text == "" {
		return nil, nil
	}
	var c cursor
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(decoded) > 200 || json.Unmarshal(decoded, &c) != nil {
		return nil, refuse("cursor", "the next of an earlier page", safetext.Clip(text, 40))
	}
	if c.Query != query {
		return nil, refuse("cursor", "of the same query: its filters have changed", safetext.Clip(text, 40))
	}
	return &c, nil
}
