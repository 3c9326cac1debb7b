package api

// Roles as they come in the table: who looks, who brings work, who does it, who runs
// the place.
const (
	lookers   = reader | operators
	producers = producer | operators
	workers   = worker | operators
	operators = operator | admin
	admins    = admin
	everybody = reader | producer | worker | operators
)

// roles says who may call which operation of openapi.yaml, by operationId. One without a
// row is refused to all, and fails a test.
var roles = map[string]role{
	"getHealthz": public,
	"getReadyz":  public,
}

// enqueues are the operations that a full queue refuses.
var enqueues = map[string]bool{"enqueue": true, "enqueueMany": true}
