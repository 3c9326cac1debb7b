package demo

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// smallTree has every kind of file that matters: good files, a broken one, the
// compiler, testdata.
var smallTree = map[string]string{
	"src/fmt/print.go":                "package fmt\n\nimport \"os\"\n\nfunc Print() { os.Exit(1) }\n",
	"src/fmt/scan.go":                 "package fmt\n\ntype Scanner interface{}\n\nconst a, b = 1, 2\n",
	"src/fmt/README":                  "no Go",
	"src/cmd/compile/main.go":         "package main\n\nvar x int\n\nfunc main() {}\n",
	"src/cmd/compile/testdata/odd.go": "package odd\n",
	"src/go/testdata/broken.go":       "package broken\n\nfunc f( {\n",
	"src/go/testdata/whole.go":        "package whole\n",
}

const (
	smallFiles    = 6
	smallPackages = 4
	smallJobs     = smallFiles + smallPackages
)

// stage is what a demo needs: a database, a client and a tree.
type stage struct {
	*testkit.DB
	client *penstock.Client
	root   string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	return &stage{db, client, plant(t, smallTree)}
}

// run runs the demo to its end and returns its output.
func (s *stage) run(t *testing.T, ctx context.Context, opts Options) string {
	t.Helper()
	var out strings.Builder
	opts.Source = s.root
	require.NoError(t, Run(ctx, s.Pool, s.client, opts, &out))
	return out.String()
}

func (s *stage) one(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, s.Pool.QueryRow(context.Background(), query, args...).Scan(&n), query)
	return n
}

func TestEveryFileIsCountedAndEveryPackageSummedUp(t *testing.T) { // P6
	t.Parallel()
	s := newStage(t)
	s.run(t, t.Context(), Options{})

	totals, err := largestPackages(t.Context(), s.Pool, 10)
	require.NoError(t, err)
	require.Equal(t, []packageTotal{
		{Dir: "src/fmt", Files: 2, Lines: 10, Funcs: 1, Types: 1, Consts: 2, Imports: 1},
		{Dir: "src/cmd/compile", Files: 1, Lines: 5, Funcs: 1, Vars: 1},
		{Dir: "src/cmd/compile/testdata", Files: 1, Lines: 1},
		{Dir: "src/go/testdata", Files: 2, Lines: 1},
	}, totals)
	require.EqualValues(t, 1, s.one(t, `SELECT broken FROM penstock_demo.packages WHERE dir = 'src/go/testdata'`))
	require.EqualValues(t, smallFiles, s.one(t, `SELECT count(*) FROM penstock_demo.files WHERE parsed_at IS NOT NULL`))
	require.EqualValues(t, smallJobs-1, s.one(t, `SELECT count(*) FROM penstock.attempts WHERE outcome = 'completed'`))
	requireNothingLeft(t, s)
}

func requireNothingLeft(t *testing.T, s *stage) {
	t.Helper()
	counts, err := queueCounts(t.Context(), s.client)
	require.NoError(t, err)
	require.Zero(t, unfinished(counts), "%+v", counts)
}

func TestAFileThatDoesNotParseIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(t, t.Context(), Options{})

	page, err := s.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: queue})
	require.NoError(t, err)
	dead := page.Items
	require.Len(t, dead, 1)
	require.Equal(t, "SyntaxError", dead[0].ErrorClass)
	require.Equal(t, "non_retryable", dead[0].Reason)
	require.Equal(t, 1, dead[0].Attempts)
	require.JSONEq(t, `{"path": "src/go/testdata/broken.go"}`, string(dead[0].Data))
	require.NotContains(t, dead[0].Error, "/", "no path keeps errors of one kind apart")
	require.Contains(t, dead[0].Detail, "src/go/testdata/broken.go:3:9: ")
	require.EqualValues(t, 1, s.one(t, `SELECT count(*) FROM penstock_demo.files WHERE error = $1`, dead[0].Error))
}

func TestPrioritiesRankTheCompilerHighAndTestdataLow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(t, t.Context(), Options{})
	for path, weight := range map[string]int64{
		"src/fmt/print.go": 5, "src/cmd/compile/main.go": 10, "src/cmd/compile/testdata/odd.go": 1, "src/go/testdata/whole.go": 1,
	} {
		require.Equal(t, weight, s.one(t, `SELECT a.priority FROM penstock.attempts a JOIN penstock.jobs j ON j.id = a.job_id
			WHERE j.data ->> 'path' = $1`, path), path)
	}
	for dir, weight := range map[string]int64{"src/fmt": 5, "src/cmd/compile": 10, "src/go/testdata": 1} {
		require.Equal(t, weight, s.one(t, `SELECT max(a.priority) FROM penstock.attempts a JOIN penstock.jobs j ON j.id = a.job_id
			WHERE j.data ->> 'dir' = $1`, dir), "a sum ranks with its files: %s", dir)
	}
}

// enqueued lists the tree, enqueues its jobs, and returns a worker for them with the
// given middleware.
func (s *stage) enqueued(t *testing.T, ctx context.Context, concurrency int, m penstock.Middleware) *penstock.Worker {
	t.Helper()
	d := &demo{pool: s.Pool, client: s.client, root: s.root}
	require.NoError(t, ensureTables(ctx, s.Pool))
	folders, err := scan(s.root)
	require.NoError(t, err)
	require.NoError(t, d.enqueue(ctx, folders, jobsFor(folders)))
	w, err := penstock.NewWorker(s.client, penstock.WorkerConfig{
		Queues:     map[string]penstock.QueueConfig{queue: {Concurrency: concurrency}},
		Middleware: []penstock.Middleware{m}, StopWhenDrained: true,
	})
	require.NoError(t, err)
	penstock.Handle(w, queue, indexFile, d.indexFile)
	penstock.Handle(w, queue, sumPackage, d.sumPackage)
	return w
}

func TestAPackageFailsAndIsRetriedUntilItsFilesAreDone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	summed := make(chan struct{}) // closed when a sum has failed; until then no file is parsed
	w := s.enqueued(t, t.Context(), smallJobs, func(next penstock.HandlerFunc) penstock.HandlerFunc {
		var once sync.Once
		return func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
			if job.Name == indexFile {
				<-summed
				return next(ctx, job)
			}
			err := next(ctx, job)
			once.Do(func() { close(summed) })
			return err
		}
	})
	require.NoError(t, w.Run(t.Context()))

	require.Positive(t, s.one(t, `SELECT count(*) FROM penstock.attempts
		WHERE name = 'sum-package' AND outcome = 'failed' AND error_class = 'PackageIncomplete'`))
	require.EqualValues(t, smallPackages, s.one(t, `SELECT count(*) FROM penstock_demo.packages WHERE summed_at IS NOT NULL`))
	require.EqualValues(t, 1, s.one(t, `SELECT count(*) FROM penstock.dead_jobs`), "no sum gives up")
	requireNothingLeft(t, s)
}

func TestASecondRunIndexesAnewAndSetsTheFirstOnesDeadApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(t, t.Context(), Options{})
	s.root = plant(t, map[string]string{"src/fmt/print.go": "package fmt\n", "src/go/testdata/broken.go": smallTree["src/go/testdata/broken.go"]})
	said := s.run(t, t.Context(), Options{})

	require.Contains(t, said, "3 done, 1 dead")
	require.Contains(t, said, "The dead letter queue: 2 jobs in 1 error group, 1 of earlier runs")
	require.EqualValues(t, 2, s.one(t, `SELECT count(*) FROM penstock_demo.files`), "files that are gone are forgotten")
	require.EqualValues(t, 1, s.one(t, `SELECT lines FROM penstock_demo.packages WHERE dir = 'src/fmt'`))
	requireNothingLeft(t, s)
}

func TestTheReportIsComplete(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	said := s.run(t, t.Context(), Options{
		Command: "bin/penstock", BaseURL: "http://127.0.0.1:8080", DatabaseURL: "postgres:///penstock?host=it's",
	})
	page, err := s.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: queue})
	require.NoError(t, err)
	dead := page.Items
	for _, want := range []string{
		"Indexing " + s.root + ": 6 files in 4 packages.\nOne transaction listed them and enqueued 10 jobs in ",
		"10 jobs in ",
		"9 done, 1 dead",
		"\n  package                   files  lines  funcs  types  vars  consts  imports\n  src/fmt                       2     10      1      1     0       2        1\n",
		"The dead letter queue: 1 job in 1 error group\n  jobs  class        reason         an example\n     1  SyntaxError  non_retryable  expected ",
		"bin/penstock dlq list index-go-source\n",
		"bin/penstock job get " + strconv.FormatInt(dead[0].JobID, 10) + "\n",
		"curl http://127.0.0.1:8080/healthz\n",
		`psql 'postgres:///penstock?host=it'\''s' -c 'SELECT`,
	} {
		require.Contains(t, said, want)
	}
}

func TestWithoutATreeTheErrorNamesTheFlag(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	err := Run(t.Context(), s.Pool, s.client, Options{Source: t.TempDir()}, t.Output())
	require.ErrorContains(t, err, "--source")
}
