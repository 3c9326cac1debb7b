package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/safetext"
)

// JobFilter chooses jobs; zero fields choose all.
type JobFilter struct {
	Queue        string     `json:"queue,omitempty"`
	State        State      `json:"state,omitempty"`
	Name         string     `json:"name,omitempty"`
	Tag          string     `json:"tag,omitempty"`
	Class        string     `json:"class,omitempty"`        // of the last error
	EnqueuedFrom *time.Time `json:"enqueuedFrom,omitempty"` // at or after
	EnqueuedTo   *time.Time `json:"enqueuedTo,omitempty"`   // before
	Data         string     `json:"data,omitempty"`         // jsonpath over the data
}

// JobQuery asks for a page of jobs.
type JobQuery struct {
	Filter JobFilter
	Limit  int    // 1–500; 0: 50
	Cursor string // Next of an earlier page of the same query
}

// Jobs returns a page of jobs, newest id first. It reads the table that holds the filter's
// state, or all jobs when it has none, until the page is full or two seconds have passed.
// With a filter by data it reads at most 10,000 rows. Errors: *ArgumentError.
func (c *Client) Jobs(ctx context.Context, q JobQuery) (Page[JobInfo], error) {
	page := Page[JobInfo]{Items: []JobInfo{}}
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("jobs", q.Filter)
	at, err := readCursor(q.Cursor, digest)
	if err != nil {
		return page, err
	}
	p := db.FindJobsParams{Filter: filterJSON(q.Filter), MaxRows: limit, MaxScanned: mostScanned}
	if at != nil {
		p.BeforeID = &at.ID
	}
	found, err := c.findPage(ctx, p, q.Filter.Data == "")
	if err != nil {
		return page, translate("list jobs", err)
	}
	rows, err := c.queries.ListJobs(ctx, db.ListJobsParams{IDs: found.IDs, MaxBytes: mostPageBytes})
	if err != nil {
		return page, translate("list jobs", err)
	}
	for _, r := range rows {
		job, err := jobInfo(r)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, job)
	}
	switch {
	case len(rows) > 0 && (found.More || len(rows) < len(found.IDs)):
		page.Next = cursor{Query: digest, ID: rows[len(rows)-1].ID}.String()
	case found.More:
		page.Next = cursor{Query: digest, ID: found.LastID - found.LastID%1000 + 1000}.String() // another's id is not shown
	}
	return page, nil
}

// patientSearch is how long a page of jobs is looked for.
const patientSearch = 2 * time.Second

// findPage finds jobs for a page. When few of the rows fit it goes on, with more rows at
// a time, until the page is full or patientSearch has passed.
func (c *Client) findPage(ctx context.Context, p db.FindJobsParams, goOn bool) (page db.FindJobsRow, err error) {
	for began := time.Now(); ; {
		found, err := c.queries.FindJobs(ctx, p)
		if err != nil {
			return page, err
		}
		page.IDs, page.More, page.LastID = append(page.IDs, found.IDs...), found.More, found.LastID
		p.MaxRows -= int32(len(found.IDs))
		if !goOn || !found.More || p.MaxRows == 0 || time.Since(began) > patientSearch {
			return page, nil
		}
		p.BeforeID, p.MaxScanned = &found.LastID, min(2*p.MaxScanned, 100_000)
	}
}

// JobCount is how many jobs a filter finds.
type JobCount struct {
	Jobs   int
	Capped bool // there may be more: counting stopped at its limit
}

// CountJobs counts the jobs that a filter finds, up to most (1–100,000). It reads at
// most a million rows. Errors: *ArgumentError.
func (c *Client) CountJobs(ctx context.Context, filter JobFilter, most int) (JobCount, error) {
	if most < 1 || most > 100_000 {
		return JobCount{}, refuse("most", "1 to 100000", most)
	}
	found, err := c.queries.FindJobs(ctx, db.FindJobsParams{
		Filter: filterJSON(filter), MaxRows: int32(most), MaxScanned: 1_000_000,
	})
	if err != nil {
		return JobCount{}, translate("count jobs", err)
	}
	return JobCount{len(found.IDs), found.More}, nil
}

// Reprioritize changes the priority of a waiting job; false when it is not waiting.
func (c *Client) Reprioritize(ctx context.Context, id int64, priority Priority) (bool, error) {
	changed, err := c.queries.Reprioritize(ctx, db.ReprioritizeParams{JobID: id, Priority: string(priority)})
	return changed, translate("reprioritize job", err)
}

// Add moves a waiting job to the dead letter queue by hand, with a message that says
// why; false when it is not waiting. It can be redriven, but not automatically.
func (c DLQClient) Add(ctx context.Context, id int64, message string) (bool, error) {
	var changed bool
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		changed, err = q.DeadLetter(ctx, db.DeadLetterParams{JobID: id, Message: safetext.Clean(message, 2000)})
		return err
	})
	return changed, translate("dead-letter job", err)
}

// Reschedule changes when a waiting job may start; false when it is not waiting.
func (c *Client) Reschedule(ctx context.Context, id int64, runAt time.Time) (bool, error) {
	changed, err := c.queries.Reschedule(ctx, db.RescheduleParams{JobID: id, RunAt: &runAt})
	return changed, translate("reschedule job", err)
}

// RunNow makes a scheduled or retrying job due; false when it is not waiting.
func (c *Client) RunNow(ctx context.Context, id int64) (bool, error) {
	changed, err := c.queries.Reschedule(ctx, db.RescheduleParams{JobID: id})
	return changed, translate("run job now", err)
}

// Action is what ChangeJobs does.
type Action string

// The actions of ChangeJobs.
const (
	ActionCancel       Action = "cancel"
	ActionRunNow       Action = "run_now"
	ActionReprioritize Action = "reprioritize" // argument: a Priority
	ActionReschedule   Action = "reschedule"   // argument: a time, RFC 3339
)

// ChangeJobs does one thing to every job a filter finds, in batches, each recorded
// in the audit log, and returns how many it changed; progress, if given, hears the
// count after each batch. A state in the filter is advised: without one it reads
// all that is kept. For a dry run use CountJobs.
func (c *Client) ChangeJobs(ctx context.Context, action Action, filter JobFilter, argument string, progress func(int64)) (int64, error) {
	var total int64
	p := db.ChangeJobsParams{
		Action: string(action), Filter: filterJSON(filter), Argument: optional(argument), MaxRows: 1000, MaxScanned: mostScanned,
	}
	for {
		var r db.ChangeJobsRow
		err := c.acting(ctx, func(q *db.Queries) (err error) {
			r, err = q.ChangeJobs(ctx, p)
			return err
		})
		if err != nil {
			return total, translate("change jobs", err)
		}
		total += int64(r.Changed)
		if progress != nil {
			progress(total)
		}
		if !r.More {
			return total, nil
		}
		p.BeforeID = &r.LastID
	}
}
