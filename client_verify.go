package penstock

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
)

// Verification is what Verify found in one snapshot of the database.
type Verification struct {
	TakenAt time.Time `json:"takenAt"` // the snapshot's moment
	Jobs    int64     `json:"jobs"`    // that are kept; each was accounted for
	Checks  []Check   `json:"checks"`  // every one that was done, those that found something first
}

// Check is a rule that must hold, how many rows were checked and how many break it.
type Check struct {
	Code     string   `json:"code"` // stable: job_nowhere, job_in_two_places …
	Checked  int64    `json:"checked"`
	Found    int64    `json:"found"`
	Examples []string `json:"examples"` // up to 5: ids of jobs, names of partitions and indexes
	Meaning  string   `json:"meaning"`  // of a finding
	Remedy   string   `json:"remedy"`
}

// Findings are the checks that found something: none when everything adds up.
func (v Verification) Findings() []Check {
	var found []Check
	for _, c := range v.Checks {
		if c.Found > 0 {
			found = append(found, c)
		}
	}
	return found
}

const mostExamples = 5

// Verify proves over the whole database that every kept job is in exactly one of
// pending, running, dead, departed and finished (P1), that attempts, redrives, keys
// and partitions agree, and names what does not. It reads one snapshot, in the order
// of ids, while workers run: some seconds per million jobs, during which vacuum can
// remove nothing. progress, if given, is called with how many jobs are done and how
// many there are by estimate (0: not known). Inside a transaction (InTx) that has to be
// REPEATABLE READ. It needs the grants of an operator.
func (c *Client) Verify(ctx context.Context, progress func(done, total int64)) (Verification, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	var v Verification
	read := func(q *db.Queries) (err error) {
		v, err = verify(ctx, q, progress)
		return err
	}
	if c.pool == nil {
		return v, translate("verify", read(c.queries))
	}
	err := pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return read(c.queries.WithTx(tx))
	})
	return v, translate("verify", err)
}

func verify(ctx context.Context, q *db.Queries, progress func(done, total int64)) (v Verification, err error) {
	if err := q.HoldPartitions(ctx); err != nil {
		return v, err
	}
	begin, err := q.VerifyBegin(ctx)
	if err != nil {
		return v, err
	}
	if begin.Isolation == "read committed" || begin.Isolation == "read uncommitted" {
		return v, refuse("isolation", "repeatable read or serializable", begin.Isolation)
	}
	v.TakenAt = begin.TakenAt.UTC()
	checks, err := newChecks(ctx, q)
	if err != nil {
		return v, err
	}
	rest, err := q.VerifyRest(ctx)
	if err != nil {
		return v, err
	}
	checks.add(rest)
	ranges, err := q.VerifyRanges(ctx)
	if err != nil {
		return v, err
	}
	for _, r := range ranges {
		for low := r.Low; low < r.High; {
			high, err := q.VerifyCut(ctx, db.VerifyCutParams{Low: low, High: r.High})
			if err != nil {
				return v, err
			}
			found, err := q.VerifyJobs(ctx, db.VerifyJobsParams{Low: low, High: high})
			if err != nil {
				return v, err
			}
			checks.add(found)
			low = high
			progress(checks["job_nowhere"].Checked, begin.Jobs)
		}
	}
	v.Jobs, v.Checks = checks["job_nowhere"].Checked, checks.list()
	return v, nil
}

// checks adds up the rounds by code.
type checks map[string]*Check

func newChecks(ctx context.Context, q *db.Queries) (checks, error) {
	known, err := q.ListVerifyChecks(ctx)
	all := checks{}
	for _, k := range known {
		all[k.Code] = &Check{Code: k.Code, Examples: []string{}, Meaning: k.Meaning, Remedy: k.Remedy}
	}
	return all, err
}

func (all checks) add(round []db.Verification) {
	for _, r := range round {
		c := all[r.Code]
		if c == nil { // of a newer schema, whose texts are missing here: a finding is reported all the same
			c = &Check{Code: r.Code, Examples: []string{}}
			all[r.Code] = c
		}
		c.Checked += r.Checked
		c.Found += r.Found
		c.Examples = append(c.Examples, r.Examples[:min(len(r.Examples), mostExamples-len(c.Examples))]...)
	}
}

func (all checks) list() []Check {
	list := make([]Check, 0, len(all))
	for _, c := range all {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Check) int {
		return cmp.Or(cmp.Compare(b.Found, a.Found), cmp.Compare(a.Code, b.Code))
	})
	return list
}
