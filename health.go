package penstock

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/penstock/penstock/db"
)

// HealthClient compares recent figures with thresholds: client.Health.
type HealthClient struct{ *scope }

// HealthStatus is the state of a queue or of the database.
type HealthStatus string

// The worst issue decides.
const (
	StatusHealthy  HealthStatus = "healthy"
	StatusWarning  HealthStatus = "warning"
	StatusCritical HealthStatus = "critical"
)

// HealthIssue is one thing that is wrong. Codes are stable: of queues success_rate,
// waiting_long, late_starts, overload, no_worker, dead_growth, running_long,
// crash_rate, slowdown, error_spike and paused; of the database xmin_horizon,
// dead_tuples, notify_queue, partitions_ahead, transaction_age, task_failing and
// tasks_overdue.
type HealthIssue struct {
	Code           string       `json:"code"`
	Severity       HealthStatus `json:"severity"` // warning or critical
	Message        string       `json:"message"`
	Figure         float64      `json:"figure"`
	Threshold      float64      `json:"threshold"` // that the figure has crossed
	Unit           string       `json:"unit"`      // share (0–1), ratio, ms, jobs, jobs/hour …
	Recommendation string       `json:"recommendation"`
	Detail         string       `json:"detail,omitempty"` // a query or an error, which may quote data
}

// Health is the health of one queue, or of the database when Queue is "".
type Health struct {
	Queue           string        `json:"queueName,omitempty"`
	Status          HealthStatus  `json:"status"`
	Issues          []HealthIssue `json:"issues"` // the worst first
	Recommendations []string      `json:"recommendations"`
	Metrics         *Metrics      `json:"metrics,omitempty"` // of the last hour; nil of the database
}

// HealthOverview is the health of everything.
type HealthOverview struct {
	Status   HealthStatus `json:"status"` // the worst there is
	Database Health       `json:"database"`
	Queues   []Health     `json:"queues"` // by name
}

// healthWindow is the span of the metrics that come with a queue's health.
const healthWindow = time.Hour

// Queue compares the recent samples and current counts of one queue with its thresholds,
// and returns the issues and the metrics. An unused queue is healthy. It reads all rows of
// jobs that wait, run or are dead.
func (c HealthClient) Queue(ctx context.Context, queue string) (Health, error) {
	rows, err := c.queries.QueueHealth(ctx, &queue)
	if err != nil {
		return Health{}, translate("read health", err)
	}
	metrics, err := MetricsClient(c).Queue(ctx, queue, healthWindow)
	if err != nil {
		return Health{}, err
	}
	h := health(queue, rows)
	h.Metrics = &metrics.Metrics
	return h, nil
}

// All returns the health of the database with its scheduled tasks, and of every queue that
// holds jobs, has a worker or settings, was active within the last hour or has an issue.
func (c HealthClient) All(ctx context.Context) (HealthOverview, error) {
	all := HealthOverview{Queues: []Health{}}
	rows, err := c.queries.QueueHealth(ctx, nil)
	if err != nil {
		return all, translate("read health", err)
	}
	database, err := c.queries.DatabaseHealth(ctx)
	if err != nil {
		return all, translate("read health", err)
	}
	metrics, err := MetricsClient(c).All(ctx, healthWindow)
	if err != nil {
		return all, err
	}
	byQueue := map[string][]db.HealthIssue{}
	for _, r := range rows {
		byQueue[r.Queue] = append(byQueue[r.Queue], r)
	}
	all.Database = health("", database)
	all.Status = all.Database.Status
	for i, q := range metrics.Queues {
		h := health(q.Queue, byQueue[q.Queue])
		h.Metrics = &metrics.Queues[i].Metrics
		all.Queues = append(all.Queues, h)
		delete(byQueue, q.Queue)
	}
	for queue, issues := range byQueue { // of a queue that was emptied between the two reads
		h := health(queue, issues)
		h.Metrics = new(Metrics)
		all.Queues = append(all.Queues, h)
	}
	slices.SortFunc(all.Queues, func(a, b Health) int { return cmp.Compare(a.Queue, b.Queue) })
	for _, h := range all.Queues {
		all.Status = worse(all.Status, h.Status)
	}
	return all, nil
}

var severities = []HealthStatus{StatusHealthy, StatusWarning, StatusCritical}

func worse(a, b HealthStatus) HealthStatus {
	return severities[max(slices.Index(severities, a), slices.Index(severities, b), 0)]
}

func health(queue string, rows []db.HealthIssue) Health {
	h := Health{Queue: queue, Status: StatusHealthy, Issues: []HealthIssue{}, Recommendations: []string{}}
	for _, r := range rows {
		h.Issues = append(h.Issues, HealthIssue{
			r.Code, HealthStatus(r.Severity), r.Message, r.Figure, r.Threshold, r.Unit, r.Recommendation, value(r.Detail),
		})
	}
	h.sum()
	return h
}

// sum sorts the issues and derives the status and the recommendations.
func (h *Health) sum() {
	slices.SortStableFunc(h.Issues, func(a, b HealthIssue) int {
		return cmp.Or(slices.Index(severities, b.Severity)-slices.Index(severities, a.Severity), cmp.Compare(a.Code, b.Code))
	})
	for _, i := range h.Issues {
		h.Status = worse(h.Status, i.Severity)
		if !slices.Contains(h.Recommendations, i.Recommendation) {
			h.Recommendations = append(h.Recommendations, i.Recommendation)
		}
	}
}

// HealthReport is the health of a queue, or of the database when Queue is "", at a
// moment. It has no details.
type HealthReport struct {
	ID     int64         `json:"id,string"`
	At     time.Time     `json:"at"`
	Queue  string        `json:"queueName,omitempty"`
	Status HealthStatus  `json:"status"`
	Issues []HealthIssue `json:"issues"`
}

// HealthReportQuery asks for a page of health reports.
type HealthReportQuery struct {
	Queue  string // empty: every queue and the database
	Limit  int    // 1–500; 0: 50
	Cursor string // Next of an earlier page of the same query
}

// Reports returns the reports that the task health-reports has written, newest first.
// The task runs every five minutes by default. Errors: *ArgumentError.
func (c HealthClient) Reports(ctx context.Context, q HealthReportQuery) (Page[HealthReport], error) {
	page := Page[HealthReport]{Items: []HealthReport{}}
	n, err := pageSize(q.Limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("health reports", q.Queue)
	key, err := readCursor(q.Cursor, digest)
	if err != nil {
		return page, err
	}
	p := db.ListHealthReportsParams{Queue: optional(q.Queue), RowLimit: n}
	if key != nil {
		p.BeforeID = &key.ID
	}
	rows, err := c.queries.ListHealthReports(ctx, p)
	if err != nil {
		return page, translate("list health reports", err)
	}
	for _, r := range rows {
		report := HealthReport{ID: r.ID, At: r.At.UTC(), Queue: r.Queue, Status: HealthStatus(r.Status)}
		if err := json.Unmarshal(r.Issues, &report.Issues); err != nil {
			return page, fmt.Errorf("read health report %d: %w", r.ID, err)
		}
		page.Items = append(page.Items, report)
	}
	if len(rows) == int(n) {
		page.Next = cursor{Query: digest, ID: rows[n-1].ID}.String()
	}
	return page, nil
}

// HealthThresholds are the limits at which a queue has an issue. A share is 0–1.
type HealthThresholds struct {
	Queue               string       `json:"queueName"`           // * is every queue
	Span                Milliseconds `json:"span"`                // rates are of the attempts within it; 1 m to 1 d
	LeastAttempts       int          `json:"leastAttempts"`       // with fewer, rates are not judged
	WaitObjective       Milliseconds `json:"waitObjective"`       // WaitShare of the jobs start within it
	WaitShare           float64      `json:"waitShare"`           //
	SuccessRateWarning  float64      `json:"successRateWarning"`  // below
	SuccessRateCritical float64      `json:"successRateCritical"` //
	LoadWarning         float64      `json:"loadWarning"`         // arrivals divided by what the slots can do
	LoadCritical        float64      `json:"loadCritical"`        //
	DeadWarning         int          `json:"deadWarning"`         // jobs that died within an hour
	DeadCritical        int          `json:"deadCritical"`        //
	RunningWarning      Milliseconds `json:"runningWarning"`      // an attempt that runs longer
	RunningCritical     Milliseconds `json:"runningCritical"`     //
	CrashWarning        float64      `json:"crashWarning"`        // share of attempts lost with their worker
	CrashCritical       float64      `json:"crashCritical"`       //
	SlowdownWarning     float64      `json:"slowdownWarning"`     // P95 divided by that of the week
	SlowdownCritical    float64      `json:"slowdownCritical"`    //
	SpikeWarning        int          `json:"spikeWarning"`        // jobs that died of one error within Span
	SpikeCritical       int          `json:"spikeCritical"`       //
}

// Thresholds returns the thresholds of a queue: its own, or else those of every queue.
func (c HealthClient) Thresholds(ctx context.Context, queue string) (HealthThresholds, error) {
	r, err := c.queries.GetHealthThresholds(ctx, queue)
	if err != nil {
		return HealthThresholds{}, translate("get health thresholds", err)
	}
	return HealthThresholds{
		queue, Milliseconds(value(r.Span)), int(value(r.LeastAttempts)), Milliseconds(value(r.WaitObjective)), value(r.WaitShare),
		value(r.SuccessRateWarning), value(r.SuccessRateCritical), value(r.LoadWarning), value(r.LoadCritical),
		int(value(r.DeadWarning)), int(value(r.DeadCritical)), Milliseconds(value(r.RunningWarning)), Milliseconds(value(r.RunningCritical)),
		value(r.CrashWarning), value(r.CrashCritical), value(r.SlowdownWarning), value(r.SlowdownCritical),
		int(value(r.SpikeWarning)), int(value(r.SpikeCritical)),
	}, nil
}

// SetThresholds changes thresholds of a queue (* is every queue), named as in
// SQL: span, wait_objective, dead_critical …; durations are milliseconds, and nil
// takes a queue's own away. Errors: *ArgumentError.
func (c HealthClient) SetThresholds(ctx context.Context, queue string, thresholds map[string]*float64) error {
	text, err := json.Marshal(thresholds)
	if err != nil {
		return refuse("thresholds", "finite numbers", err)
	}
	err = c.acting(ctx, func(q *db.Queries) error {
		return q.SetHealthThresholds(ctx, db.SetHealthThresholdsParams{Queue: queue, Thresholds: text})
	})
	return translate("set health thresholds", err)
}
