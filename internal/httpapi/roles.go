package httpapi

// Roles as they come in the table: who looks, who brings work, who does it, who runs
// the place.
const (
	readers   = reader | operators
	producers = producer | operators
	workers   = worker | operators
	operators = operator | admin
	admins    = admin
	anyRole   = reader | producer | worker | operators
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
	"listJobs":        readers,
	"countJobs":       readers,
	"getJob":          readers | producer,
	"explainJob":      readers | producer,
	"waitForJob":      readers | producer,
	"cancelJob":       operators,
	"reprioritizeJob": operators,
	"rescheduleJob":   operators,
	"runJobNow":       operators,
	"deadLetterJob":   operators,
	"changeJobs":      operators,

	"listQueues":  readers,
	"getQueue":    readers | producer,
	"setQueue":    operators,
	"pauseQueue":  operators,
	"resumeQueue": operators,

	"listDeadJobs":            readers,
	"getDeadJob":              readers,
	"getDeadStats":            readers,
	"countDeadJobs":           readers,
	"listErrorGroups":         readers,
	"resolveError":            operators,
	"reopenError":             operators,
	"getDeadPolicy":           readers,
	"setDeadPolicy":           operators,
	"processScheduledRetries": operators,
	"purgeDeadJobs":           operators,
	"redriveJob":              operators,

	"startRedrive":  operators,
	"listRedrives":  readers,
	"getRedrive":    readers,
	"pauseRedrive":  operators,
	"resumeRedrive": operators,
	"cancelRedrive": operators,

	"listPolicies":  readers,
	"getPolicy":     readers,
	"previewPolicy": readers,
	"setPolicy":     operators,
	"removePolicy":  operators,

	"getPriorityDistribution": readers,
	"listPriorityRules":       readers,
	"setPriorityRule":         operators,
	"removePriorityRule":      operators,
	"decidePriority":          readers | producer,
	"listPriorityLevels":      readers | producer,
	"setPriorityLevel":        operators,
	"removePriorityLevel":     operators,
	"listPriorityTags":        readers | producer,
	"setPriorityTag":          operators,
	"removePriorityTag":       operators,

	"listBreakers":  readers,
	"setBreaker":    operators,
	"removeBreaker": operators,

	"registerWorker": workers,
	"removeWorker":   workers,
	"claimJobs":      workers,
	"heartbeat":      workers,
	"finishAttempts": workers,
	"noteProgress":   workers,

	"listTasks":    readers,
	"getTask":      readers,
	"setTask":      operators,
	"pauseTask":    operators,
	"resumeTask":   operators,
	"runTask":      operators,
	"listTaskRuns": readers,

	"getMetrics":     readers,
	"getAllMetrics":  readers,
	"getPerformance": readers,
	"getHistory":     readers,

	"getHealth":           readers,
	"getAllHealth":        readers,
	"listHealthReports":   readers,
	"getHealthThresholds": readers,
	"setHealthThresholds": operators,

	"listWorkers": readers,
	"getAuditLog": admins,
}

// enqueues are the operations that a full queue refuses.
var enqueues = map[string]bool{"enqueue": true, "enqueueMany": true}
