package remote

import (
	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/pgerror"
)

// translate wraps an error with the verb that failed, as the library does.
func translate(verb string, err error) error { return known.Translate(verb, err) }

var known = pgerror.Translator{
	Argument: func(argument, message string, job int) error {
		return &penstock.ArgumentError{Argument: argument, Message: message, Job: job}
	},
	NotFound: penstock.ErrDeadJobNotFound, Conflict: penstock.ErrConflict,
	LeaseLost: penstock.ErrLeaseLost, AlreadyCompleted: penstock.ErrAlreadyCompleted, WorkerGone: penstock.ErrWorkerGone,
}

func refuse(argument, allowed string, got any) error {
	return &penstock.ArgumentError{Argument: argument, Message: pgerror.Refusal(argument, allowed, got)}
}

// clampInt32 maps a number that fits no attempt to one that no attempt has.
func clampInt32(n int) int32 { return int32(min(max(n, -1), 1<<31-1)) }

// value is what p points at, the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
