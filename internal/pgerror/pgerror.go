// Package pgerror reads the errors of PostgreSQL: what they mean for the caller, and
// whether the call may be repeated.
package pgerror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The functions in migrations/ raise SQLSTATEs of class PN. The number is the HTTP
// status with the same meaning.
const (
	AlreadyCompleted = "PN208"
	InvalidArgument  = "PN400"
	NotFound         = "PN404"
	LeaseLost        = "PN409"
	WorkerGone       = "PN410"
	Conflict         = "PN412"
)

const lockNotAvailable = "55P03"

// Translator turns the errors of functions in migrations/ into a package's own.
type Translator struct {
	// Argument makes the error of a refused argument. job is its place in a batch, from
	// 1; 0 outside one.
	Argument func(argument, message string, job int) error

	NotFound, Conflict, LeaseLost, AlreadyCompleted, WorkerGone error
}

// Translate returns the package's own error where there is one, and wraps err with the
// verb that failed. nil stays nil.
func (t Translator) Translate(verb string, err error) error {
	var pg *pgconn.PgError
	if err == nil {
		return nil
	}
	if !errors.As(err, &pg) {
		return fmt.Errorf("%s: %w", verb, err)
	}
	switch pg.Code {
	case InvalidArgument:
		message, job := pg.Message, 0
		if pg.Detail != "" {
			message += " (" + strings.ToLower(strings.TrimSuffix(pg.Detail, ".")) + ")"
		}
		_, _ = fmt.Sscanf(pg.Detail, "Job %d of", &job) // as refuse in migrations/ writes it
		return fmt.Errorf("%s: %w", verb, t.Argument(pg.ColumnName, message, job))
	case "22P02", "22P05", "22021": // json.Valid accepts lone surrogates and bad UTF-8; jsonb does not
		if verb == "enqueue" {
			return fmt.Errorf("%s: %w", verb, t.Argument("data", "data must be JSON that Postgres can store: "+pg.Message, 0))
		}
	case NotFound:
		return fmt.Errorf("%s: %w: %s", verb, t.NotFound, pg.Message)
	case Conflict:
		return fmt.Errorf("%s: %w: %s", verb, t.Conflict, pg.Message)
	case LeaseLost:
		return fmt.Errorf("%s: %w", verb, t.LeaseLost)
	case AlreadyCompleted:
		return fmt.Errorf("%s: %w", verb, t.AlreadyCompleted)
	case WorkerGone:
		return fmt.Errorf("%s: %w", verb, t.WorkerGone)
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// AboutContent reports whether Postgres refused what was sent, so that the batch can
// pass without the offending item: bad data, a broken constraint, a limit, or a row that
// another transaction keeps locked.
func AboutContent(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code[:2] {
	case "PN", "21", "22", "23", "54":
		return true
	}
	return pg.Code == lockNotAvailable || pg.Code == "XX000"
}

// LockTimedOut reports whether a lock was not granted in time.
func LockTimedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == lockNotAvailable
}

// Passing reports whether the same call may succeed if it is simply repeated: Postgres
// answered that it rolled back, or nothing was sent.
func Passing(err error) bool {
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

// ReplyLost reports whether the statement may have committed although the call failed:
// it was sent, and no answer of Postgres came back. err is not translated.
func ReplyLost(err error) bool {
	var pg *pgconn.PgError
	var unreached *pgconn.ConnectError
	return err != nil && !errors.As(err, &pg) && !errors.As(err, &unreached) && !pgconn.SafeToRetry(err)
}

// Refusal is the message of a refused argument: what is allowed and what was given.
func Refusal(argument, allowed string, got any) string {
	text := fmt.Sprint(got)
	if len(text) > 80 {
		text = text[:77] + "..."
	}
	return fmt.Sprintf("%s must be %s, got %s", argument, allowed, strings.ToValidUTF8(text, "?"))
}
