package penstock

import (
	"errors"
	"reflect"
	"strings"

	"github.com/penstock/penstock/internal/pgerror"
	"github.com/penstock/penstock/internal/safetext"
)

var (
	// ErrInvalidArgument is what every *ArgumentError is: the call was refused and
	// changed nothing.
	ErrInvalidArgument = errors.New("penstock: invalid argument")
	// ErrJobNotFound: no such job is kept. It never existed, or its partition was
	// dropped after the retention.
	ErrJobNotFound = errors.New("penstock: job not found")
	// ErrDeadJobNotFound: the dead letter queue never had such an entry.
	ErrDeadJobNotFound = errors.New("penstock: dead job not found")
	// ErrRedriveNotFound: there is no such redrive operation.
	ErrRedriveNotFound = errors.New("penstock: redrive not found")
	// ErrTaskNotFound: there is no scheduled task of that name.
	ErrTaskNotFound = errors.New("penstock: task not found")
	// ErrTokenNotFound: there is no such token that could still be used.
	ErrTokenNotFound = errors.New("penstock: token not found")
	// ErrConflict: the current state does not allow this; the message has the state. Read it
	// again.
	ErrConflict = errors.New("penstock: conflict")
	// ErrLeaseLost: another worker has the job now, or the attempt has ended. Drop your result.
	ErrLeaseLost = errors.New("penstock: lease lost")
	// ErrAlreadyCompleted: the attempt completed before, with a transaction whose reply was
	// lost. Roll this one back, and do not repeat its effects.
	ErrAlreadyCompleted = errors.New("penstock: attempt already completed")
	// ErrWorkerGone: the worker was declared dead while it was silent. It must register again.
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
	return &ArgumentError{Argument: argument, Message: pgerror.Refusal(argument, allowed, got)}
}

// translate turns an error of a call to Postgres into the package's own where there is
// one, and wraps it with the verb that failed.
func translate(verb string, err error) error { return known.Translate(verb, err) }

var known = pgerror.Translator{
	Argument: func(argument, message string, job int) error {
		return &ArgumentError{Argument: argument, Message: message, Job: job}
	},
	NotFound: ErrDeadJobNotFound, // the only rows that functions look for by name
	Conflict: ErrConflict, LeaseLost: ErrLeaseLost, AlreadyCompleted: ErrAlreadyCompleted, WorkerGone: ErrWorkerGone,
}

// aboutContent is pgerror.AboutContent, also for errors that are translated.
func aboutContent(err error) bool {
	return errors.Is(err, ErrInvalidArgument) || pgerror.AboutContent(err)
}

// replyLost is pgerror.ReplyLost, also for errors that are translated.
func replyLost(err error) bool {
	return !errors.Is(err, ErrInvalidArgument) && pgerror.ReplyLost(err)
}

// classes lists the class names of an error, outermost first: the result of ErrorClass(),
// or else the type's name. Wrappers of the standard library have none. The retry policy is
// matched against each of them.
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
	return append(names, safetext.Clip(name, 200))
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
