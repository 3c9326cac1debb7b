package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/penstock/penstock"
)

const (
	tokenPoll      = 2 * time.Second        // how often tokens are read while requests come
	tokenLife      = 5 * time.Second        // how long what was read is valid
	tokenRetry     = 250 * time.Millisecond // the least time between two readings for tokens that fail
	tokenReadLimit = 2 * time.Second        // for a reading
	tokenNoteEvery = 10 * time.Second       // how often uses are written
)

// errStaleTokens: the tokens could not be read for so long that one may have been
// revoked since.
var errStaleTokens = errors.New("tokens could not be read")

// tokenCache has every token in memory, so that a request does not ask Postgres. It is
// read every two seconds while requests come, and what was read is valid for five: a
// revocation holds everywhere within five seconds, and while Postgres does not answer
// requests are refused after that. For a token that is unknown, or whose secret is
// wrong, the tokens are read once more before it is refused, at most four times a second
// for all requests: a new or rotated token works at once, and an unknown one takes as
// long as a wrong one.
type tokenCache struct {
	client *penstock.Client
	log    *zap.Logger
	rate   rate.Limit // requests a second that one token may send

	reading sync.Mutex // one reader at a time
	current atomic.Pointer[tokenList]
	armed   atomic.Bool // the next poll is due

	mu       sync.Mutex // guards noted
	noted    time.Time
	limiters sync.Map // token id → *limiter
}

// tokenList is one reading of the tokens.
type tokenList struct {
	byID map[string]*penstock.Token
	read time.Time // when it began, by this process's clock
	now  time.Time // the database's clock then
}

// limiter is what a token sends and when it last did.
type limiter struct {
	*rate.Limiter
	used atomic.Int64 // unix nanoseconds; 0: written to the database
}

func newTokenCache(client *penstock.Client, log *zap.Logger, perSecond int) *tokenCache {
	return &tokenCache{client: client, log: log, rate: rate.Limit(perSecond)}
}

// clock is the database's time by this process's.
func (k *tokenList) clock() time.Time { return k.now.Add(time.Since(k.read)) }

// admit finds the token that a request bears.
// Errors: errNoToken; errStaleTokens.
func (r *tokenCache) admit(ctx context.Context, request *http.Request) (*penstock.Token, error) {
	scheme, text, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	id, secret, ok := penstock.SplitToken(strings.TrimSpace(text))
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(request.Header.Values("Authorization")) != 1 {
		return nil, errNoToken
	}
	came := time.Now()
	tokens, err := r.keys(ctx, came.Add(-tokenLife))
	if err != nil {
		return nil, err
	}
	token, ok := tokens.admit(id, secret)
	if !ok {
		pause(ctx, time.Until(tokens.read.Add(tokenRetry)))
		if tokens, err = r.keys(ctx, came); err != nil {
			return nil, err
		}
		token, ok = tokens.admit(id, secret)
	}
	if !ok {
		return nil, errNoToken
	}
	r.limiter(id).used.Store(time.Now().UnixNano())
	r.arm()
	return token, nil
}

func (k *tokenList) admit(id, secret string) (*penstock.Token, bool) {
	token := k.byID[id]
	if token == nil {
		token = &penstock.Token{} // admits nothing, and takes as long for it
	}
	return token, token.Admits(secret, k.clock())
}

// none reports whether there is not a single token, not even a revoked one.
func (r *tokenCache) none(ctx context.Context) (bool, error) {
	tokens, err := r.keys(ctx, time.Now().Add(-tokenLife))
	if err != nil {
		return false, err
	}
	r.arm()
	return len(tokens.byID) == 0, nil
}

// keys returns a reading that began after since, and makes one if there is none.
func (r *tokenCache) keys(ctx context.Context, since time.Time) (*tokenList, error) {
	if k := r.current.Load(); k != nil && k.read.After(since) {
		return k, nil
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if k := r.current.Load(); k != nil && k.read.After(since) { // another request has read them
		return k, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenReadLimit)
	defer cancel()
	err := r.read(ctx)
	if k := r.current.Load(); err == nil || k != nil && time.Since(k.read) < tokenLife {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %w", errStaleTokens, err)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (r *tokenCache) read(ctx context.Context) error {
	began := time.Now()
	list, err := r.client.Tokens.List(ctx)
	if err != nil {
		return err
	}
	k := &tokenList{byID: make(map[string]*penstock.Token, len(list.Tokens)), read: began, now: list.Now}
	for i := range list.Tokens {
		k.byID[list.Tokens[i].ID] = &list.Tokens[i]
	}
	r.current.Store(k)
	return nil
}

// arm schedules the next reading of the tokens, unless one is scheduled.
func (r *tokenCache) arm() {
	if r.armed.Swap(true) {
		return
	}
	time.AfterFunc(tokenPoll, func() {
		r.armed.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), tokenReadLimit)
		defer cancel()
		if _, err := r.keys(ctx, time.Now().Add(-tokenPoll/2)); err != nil {
			r.log.Warn("tokens could not be read; requests are refused until they can", zap.Error(err))
			return
		}
		if err := r.noteUses(ctx); err != nil {
			r.log.Warn("uses of tokens could not be noted", zap.Error(err))
		}
	})
}

// noteUses writes when tokens were last used, every tokenNoteEvery.
func (r *tokenCache) noteUses(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.noted) < tokenNoteEvery {
		return nil
	}
	ages := map[string]time.Duration{}
	r.limiters.Range(func(id, l any) bool {
		if used := l.(*limiter).used.Swap(0); used != 0 {
			ages[id.(string)] = time.Since(time.Unix(0, used))
		}
		return true
	})
	r.noted = time.Now()
	if len(ages) == 0 {
		return nil
	}
	return r.client.Tokens.NoteUses(ctx, ages)
}

// limiter is that of an admitted token; a second's worth may come at once.
func (r *tokenCache) limiter(id string) *limiter {
	if l, ok := r.limiters.Load(id); ok {
		return l.(*limiter)
	}
	l, _ := r.limiters.LoadOrStore(id, &limiter{Limiter: rate.NewLimiter(r.rate, int(r.rate))})
	return l.(*limiter)
}
