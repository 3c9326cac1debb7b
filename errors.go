package penstock

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrInvalidArgument is what every *ArgumentError is: the call was refused and
	// changed nothing.
	ErrInvalidArgument = errors.New("penstock: invalid argument")
	// ErrJobNotFound: no such job is kept. It never existed, or its partition was
	// dropped after the retention.
	ErrJobNotFound = errors.New("penstock: job not found")
	// ErrDeadJobNotFound: the dead letter queue has no such entry, nor had it.
	ErrDeadJobNotFound = errors.New("penstock: dead job not found")
	// ErrRedriveNotFound: there is no such redrive operation.
	ErrRedriveNotFound = errors.New("penstock: redrive not found")
	// ErrTaskNotFound: there is no scheduled task of that name.
	ErrTaskNotFound = errors.New("penstock: task not found")
	// ErrTokenNotFound: there is no such token that could still be used.
	ErrTokenNotFound = errors.New("penstock: token not found")
	// ErrKeyBusy: the first request with the idempotency key is still under way. Repeat.
	ErrKeyBusy = errors.New("penstock: idempotency key busy")
	// ErrKeyReused: the idempotency key came before with another request. Take a new one.
	ErrKeyReused = errors.New("penstock: idempotency key reused for another request")
	// ErrConflict: the thing is in a state that forbids this; the message says which.
	ErrConflict = errors.New("penstock: conflict")
	// ErrLeaseLost: another worker owns the job now, or it ended. Drop your result.
	ErrLeaseLost = errors.New("penstock: lease lost")
	// ErrWorkerGone: the worker was buried while it was silent. It must register anew.
	ErrWorkerGone = errors.New("penstock: worker is not registered")
	// ErrOutcomeUnknown: the connection broke before the reply, so the enqueue may or
	// may not have committed. Repeat it with an idempotency key to be sure.
	ErrOutcomeUnknown = errors.New("penstock: outcome unknown")
	// ErrTimeout is the cause of a handler's context past the job's timeout.
	ErrTimeout = errors.New("penstock: job timeout")
	// ErrCancelled is the cause of a handler's context after the job was cancelled.
	ErrCancelled = errors.New("penstock: job cancelled")
	// ErrShutdown is the cause of a handler's context when the worker stops without
	// waiting any longer. The job is released and costs nothing.
	ErrShutdown = errors.New("penstock: worker shutdown")
)

// ArgumentError names the argument that was refused and what is allowed.
// errors.Is(err, ErrInvalidArgument) holds.
type ArgumentError struct {
	Argument string // as in SQL: queue, name, data, priority, max_attempts …
	Message  string // a sentence: what is allowed and what was given
	Job      int    // which job of a batch, from 1; 0 outside one
}

func (e *ArgumentError) Error() string        { return "penstock: " + e.Message }
func (e *ArgumentError) Is(target error) bool { return target == ErrInvalidArgument }

func refuse(argument, allowed string, got any) error {
	text := fmt.Sprint(got)
	if len(text) > 80 {
		text = text[:77] + "..."
	}
	return &ArgumentError{Argument: argument, Message: fmt.Sprintf("%s must be %s, got %s", argument, allowed, strings.ToValidUTF8(text, "?"))}
}

// SQLSTATEs of the functions in migrations/: class PN, then the meaning in the
// numbers HTTP has for it.
const (
	stateInvalidArgument = "PN400"
	stateNotFound        = "PN404"
	stateLeaseLost       = "PN409"
	stateWorkerGone      = "PN410"
	stateConflict        = "PN412"
)

// translate turns an error of a call to Postgres into the package's own where
// there is one, and wraps it with the verb that failed.
func translate(verb string, err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case stateInvalidArgument:
			message := pg.Message
			if pg.Detail != "" {
				message += " (" + strings.ToLower(strings.TrimSuffix(pg.Detail, ".")) + ")"
			}
			refused := &ArgumentError{Argument: pg.ColumnName, Message: message}
			_, _ = fmt.Sscanf(pg.Detail, "Job %d of", &refused.Job) // as refuse in migrations/ writes it
			return fmt.Errorf("%s: %w", verb, refused)
		case "22P02", "22P05", "22021": // what json.Valid lets pass and jsonb does not: lone surrogates, bad UTF-8
			if verb == "enqueue" {
				return fmt.Errorf("%s: %w", verb, &ArgumentError{Argument: "data", Message: "data must be JSON that Postgres can store: " + pg.Message})
			}
		case stateNotFound: // the only thing looked for by name in SQL
			return fmt.Errorf("%s: %w: %s", verb, ErrDeadJobNotFound, pg.Message)
		case stateConflict:
			return fmt.Errorf("%s: %w: %s", verb, ErrConflict, pg.Message)
		case stateLeaseLost:
			return fmt.Errorf("%s: %w", verb, ErrLeaseLost)
		case stateWorkerGone:
			return fmt.Errorf("%s: %w", verb, ErrWorkerGone)
		}
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// aboutContent reports whether Postgres refused what was sent, so that another
// batch without the offending item can pass: bad data, a broken constraint, a
// limit, or a row somebody else keeps locked.
func aboutContent(err error) bool {
	if errors.Is(err, ErrInvalidArgument) { // translated already
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code[:2] {
	case "PN", "21", "22", "23", "54":
		return true
	}
	return pg.Code == "55P03" || pg.Code == "XX000"
}

// passing reports whether the same call may succeed if it is simply repeated:
// Postgres answered that it rolled back, or nothing was sent.
func passing(err error) bool {
	if pgconn.SafeToRetry(err) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "40001", "40P01", "53300", "57P03", "25006":
		return true
	}
	return false
}

// replyLost reports whether the statement may have committed although the call
// failed: it was sent, and no answer of Postgres came back.
func replyLost(err error) bool {
	var pg *pgconn.PgError
	var unreached *pgconn.ConnectError
	return err != nil && !errors.As(err, &pg) && !errors.As(err, &unreached) && !pgconn.SafeToRetry(err) && !errors.Is(err, ErrInvalidArgument)
}

// classes lists the names an error goes by, outermost first: what ErrorClass()
// says, else the type's name; wrappers of the standard library have none. The
// retry policy looks for each of them (end_attempts in migrations/).
func classes(err error) []string {
	var names []string
	var walk func(error)
	walk = func(err error) {
		if err == nil || len(names) == 8 {
			return
		}
		if named, ok := err.(interface{ ErrorClass() string }); ok {
			names = appendClass(names, named.ErrorClass())
		} else {
			names = appendClass(names, typeName(err))
		}
		switch wrapper := err.(type) {
		case interface{ Unwrap() error }:
			walk(wrapper.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range wrapper.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	if len(names) == 0 {
		return []string{"Error"}
	}
	return names
}

func appendClass(names []string, name string) []string {
	name = strings.Join(strings.Fields(name), "_")
	if name == "" {
		return names
	}
	return append(names, clip(name, 200))
}

func typeName(err error) string {
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case "fmt", "errors", reflect.TypeFor[ArgumentError]().PkgPath():
		if t != reflect.TypeFor[ArgumentError]() {
			return ""
		}
	}
	return t.Name()
}

// ErrorClass is the class an error is recorded under when no retry policy names
// another of its chain: the outermost ErrorClass() or named type, else "Error".
func ErrorClass(err error) string { return classes(err)[0] }
