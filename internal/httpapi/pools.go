package httpapi

import (
	"errors"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

// A request uses the connections of one pool, so that costly ones cannot take those of
// the others. docs/operations.md has the table.

// fast are the operations that touch few rows by their keys: they have Deps.Client's
// pool to themselves. All others read or change much and share Deps.Reports'.
var fast = map[string]bool{
	"enqueue": true, "enqueueMany": true, "getJob": true, "waitForJob": true, "cancelJob": true, "reprioritizeJob": true,
	"rescheduleJob": true, "runJobNow": true, "deadLetterJob": true, "getQueue": true,
	"registerWorker": true, "removeWorker": true, "claimJobs": true, "heartbeat": true, "finishAttempts": true, "noteProgress": true,
}

// requestLimit is how long a request may take, its wait for a connection included. It
// is less than the server's own writeTimeout, so that the client reads why.
const requestLimit = 50 * time.Second

// reportLimit is the same for those that read much; bulk changes end by themselves
// after bulkLimit.
const reportLimit = 20 * time.Second

// errOverLimit: the request took longer than it may.
var errOverLimit = errors.New("the request took longer than it may")

// clientFor is the library on the pool that the operation may use. With an
// Idempotency-Key it is that of keyed requests, which hold a connection to their end.
func (s *service) clientFor(op *validate.Operation, keyed bool) *penstock.Client {
	switch {
	case keyed:
		return s.Keyed
	case fast[op.ID]:
		return s.Client
	}
	return s.Reports
}

func limitOf(op *validate.Operation) time.Duration {
	if fast[op.ID] || bulk[op.ID] {
		return requestLimit
	}
	return reportLimit
}

// bulk are the operations that work in batches until bulkLimit.
var bulk = map[string]bool{"changeJobs": true, "purgeDeadJobs": true}
