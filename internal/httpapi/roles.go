package httpapi

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

	"getDocs":        public,
	"getDescription": public,

	"enqueue":         producers,
	"enqueueMany":     producers,
	"listJobs":        lookers,
	"countJobs":       lookers,
	"getJob":          lookers | producer,
	"explainJob":      lookers | producer,
	"waitForJob":      lookers | producer,
	"cancelJob":       operators,
	"reprioritizeJob": operators,
	"rescheduleJob":   operators,
	"runJobNow":       operators,
	"deadLetterJob":   operators,
	"changeJobs":      operators,

	"listQueues":  lookers,
	"getQueue":    lookers | producer,
	"setQueue":    operators,
	"pauseQueue":  operators,
	"resumeQueue": operators,

	"listDeadJobs":            lookers,
	"getDeadJob":              lookers,
	"getDeadStats":            lookers,
	"countDeadJobs":           lookers,
	"listErrorGroups":         lookers,
	"resolveError":            operators,
	"reopenError":             operators,
	"getDeadPolicy":           lookers,
	"setDeadPolicy":           operators,
	"processScheduledRetries": operators,
	"purgeDeadJobs":           operators,
	"redriveJob":              operators,

	"startRedrive":  operators,
	"listRedrives":  lookers,
	"getRedrive":    lookers,
	"pauseRedrive":  operators,
	"resumeRedrive": operators,
	"cancelRedrive": operators,

	"listPolicies":  lookers,
	"getPolicy":     lookers,
	"previewPolicy": lookers,
	"setPolicy":     operators,
	"removePolicy":  operators,

	"getPriorityDistribution": lookers,
	"listPriorityRules":       lookers,
	"setPriorityRule":         operators,
	"removePriorityRule":      operators,
	"decidePriority":          lookers | producer,
	"listPriorityLevels":      lookers | producer,
	"setPriorityLevel":        operators,
	"removePriorityLevel":     operators,
	"listPriorityTags":        lookers | producer,
	"setPriorityTag":          operators,
	"removePriorityTag":       operators,

	"listBreakers":  lookers,
	"setBreaker":    operators,
	"removeBreaker": operators,

	"registerWorker": workers,
	"removeWorker":   workers,
	"claimJobs":      workers,
	"heartbeat":      workers,
	"finishAttempts": workers,
	"noteProgress":   workers,

	"listTasks":    lookers,
	"getTask":      lookers,
	"setTask":      operators,
	"pauseTask":    operators,
	"resumeTask":   operators,
	"runTask":      operators,
	"listTaskRuns": lookers,

	"getMetrics":     lookers,
	"getAllMetrics":  lookers,
	"getPerformance": lookers,
	"getHistory":     lookers,

	"getHealth":           lookers,
	"getAllHealth":        lookers,
	"listHealthReports":   lookers,
	"getHealthThresholds": lookers,
	"setHealthThresholds": operators,

	"listWorkers": lookers,
	"getAuditLog": admins,
}

// enqueues are the operations that a full queue refuses.
var enqueues = map[string]bool{"enqueue": true, "enqueueMany": true}
