package penstock

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/penstock/penstock/db"
)

// TokenClient manages the tokens of the HTTP API: client.Tokens.
type TokenClient struct{ *scope }

// TokenRole is what a token of the HTTP API is for.
type TokenRole string

// The roles of tokens.
const (
	RoleReader   TokenRole = "reader"   // reads counts, times, jobs, errors and settings
	RoleProducer TokenRole = "producer" // enqueues, and follows jobs
	RoleWorker   TokenRole = "worker"   // claims and finishes jobs
	RoleOperator TokenRole = "operator" // all of these, and changes jobs, queues and policies
	RoleAdmin    TokenRole = "admin"    // all of these, and tokens and the audit log
)

// NewToken is a token to create. Name and Role are needed.
type NewToken struct {
	Name      string    // of no other token that is not revoked; as a queue's
	Role      TokenRole // see TokenRole
	Queues    []string  // names, or beginnings and a *, up to 100; empty: every queue
	ExpiresIn time.Duration
}

// Token is what is known of a token of the HTTP API. Its secret is not.
type Token struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"`
	Role           TokenRole  `json:"role"`
	Queues         []string   `json:"queues,omitempty"` // empty: every queue
	CreatedAt      time.Time  `json:"createdAt"`
	CreatedBy      string     `json:"createdBy"`
	ExpiresAt      *time.Time `json:"expiresAt,omitempty"`
	RotatedAt      *time.Time `json:"rotatedAt,omitempty"`
	OldSecretUntil *time.Time `json:"oldSecretUntil,omitempty"` // the one before the rotation works until then
	LastUsedAt     *time.Time `json:"lastUsedAt,omitempty"`     // to some seconds
	RevokedAt      *time.Time `json:"revokedAt,omitempty"`

	secret, oldSecret []byte // SHA-256 of each
}

// Covers reports whether one of the token's patterns matches the queue.
func (t *Token) Covers(queue string) bool {
	if len(t.Queues) == 0 {
		return true
	}
	return slices.ContainsFunc(t.Queues, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return open && strings.HasPrefix(queue, prefix) || pattern == queue
	})
}

// Admits reports whether the secret is one of the token's at that time. It takes as
// long for a right one as for a wrong one; the zero Token admits none.
func (t *Token) Admits(secret string, at time.Time) bool {
	digest := sha256.Sum256([]byte(secret))
	current := subtle.ConstantTimeCompare(digest[:], pad(t.secret))
	old := subtle.ConstantTimeCompare(digest[:], pad(t.oldSecret))
	if t.OldSecretUntil == nil || !at.Before(*t.OldSecretUntil) {
		old = 0
	}
	live := t.RevokedAt == nil && (t.ExpiresAt == nil || at.Before(*t.ExpiresAt))
	return current|old == 1 && live && t.secret != nil
}

func pad(digest []byte) []byte {
	if len(digest) == sha256.Size {
		return digest
	}
	return bytes.Repeat([]byte{0}, sha256.Size)
}

// IssuedToken is a token with its secret, which is shown only now.
type IssuedToken struct {
	ID   string
	Text string // pen_<id>_<secret>, as the HTTP API takes it
}

// TokenList is every token there ever was.
type TokenList struct {
	Tokens []Token   // newest first
	Now    time.Time // by the database's clock, which decides what has expired
}

// newSecret is 260 random bits as 52 letters and digits.
func newSecret() string { return rand.Text() + rand.Text() }

// Create makes a token. Its secret is only in the result: nothing can show it later.
// Errors: *ArgumentError.
func (c TokenClient) Create(ctx context.Context, token NewToken) (IssuedToken, error) {
	id, secret := strings.ToLower(rand.Text()[:12]), newSecret()
	digest := sha256.Sum256([]byte(secret))
	p := db.CreateTokenParams{ID: id, Name: token.Name, Role: string(token.Role), Secret: digest[:]}
	if len(token.Queues) > 0 {
		p.Queues = token.Queues
	}
	if token.ExpiresIn != 0 {
		p.ExpiresIn = &token.ExpiresIn
	}
	err := c.acting(ctx, func(q *db.Queries) error { return q.CreateToken(ctx, p) })
	if err != nil {
		return IssuedToken{}, translate("create token", err)
	}
	return issued(id, secret), nil
}

func issued(id, secret string) IssuedToken { return IssuedToken{id, "pen_" + id + "_" + secret} }

// SplitToken takes pen_<id>_<secret> apart; ok is false for what is no token.
func SplitToken(text string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(text, "pen_")
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && id != "" && secret != ""
}

// List returns every token, without its secret.
func (c TokenClient) List(ctx context.Context) (TokenList, error) {
	rows, err := c.queries.ListTokens(ctx)
	if err != nil {
		return TokenList{}, translate("list tokens", err)
	}
	list := TokenList{Tokens: make([]Token, len(rows))}
	for i, r := range rows {
		list.Tokens[i] = Token{
			r.ID, r.Name, TokenRole(r.Role), r.Queues, r.CreatedAt.UTC(), r.CreatedBy, utc(r.ExpiresAt), utc(r.RotatedAt),
			utc(r.OldUntil), utc(r.LastUsedAt), utc(r.RevokedAt), r.Secret, r.OldSecret,
		}
		list.Now = r.Now.UTC()
	}
	return list, nil
}

// Rotate gives a token a new secret and returns it as Create does. The one it
// had works for overlap longer, 0 to 90 days, on every server.
// Errors: ErrTokenNotFound, also for one that is revoked or expired; *ArgumentError.
func (c TokenClient) Rotate(ctx context.Context, id string, overlap time.Duration) (IssuedToken, error) {
	secret := newSecret()
	digest := sha256.Sum256([]byte(secret))
	var rotated bool
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		rotated, err = q.RotateToken(ctx, db.RotateTokenParams{ID: id, Secret: digest[:], Overlap: overlap})
		return err
	})
	if err != nil {
		return IssuedToken{}, translate("rotate token", err)
	}
	if !rotated {
		return IssuedToken{}, ErrTokenNotFound
	}
	return issued(id, secret), nil
}

// Revoke ends a token for good: within 5 s no server takes it any more.
// Errors: ErrTokenNotFound, also for one that was revoked before.
func (c TokenClient) Revoke(ctx context.Context, id string) error {
	var revoked bool
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		revoked, err = q.RevokeToken(ctx, id)
		return err
	})
	if err == nil && !revoked {
		return ErrTokenNotFound
	}
	return translate("revoke token", err)
}

// NoteUses notes how long ago each token was last used.
func (c TokenClient) NoteUses(ctx context.Context, ages map[string]time.Duration) error {
	p := db.RecordTokenUsesParams{}
	for id, age := range ages {
		p.IDs, p.Ages = append(p.IDs, id), append(p.Ages, age)
	}
	return translate("record token uses", c.queries.RecordTokenUses(ctx, p))
}
