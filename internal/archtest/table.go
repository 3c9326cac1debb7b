// Package archtest holds the repository's import rules and checks them: which of our
// packages may import which, and where some libraries have to stay. The rules are
// data; its test applies them to every Go file, whatever its build tags, so that a
// file for another system is held to them too.
package archtest

// Module is the path of this repository's module.
const Module = "github.com/penstock/penstock"

// Root names the module's root package in Table.
const Root = "penstock"

// Row is what one package may import of ours. Packages are named by their folder, the
// root package by Root.
type Row struct {
	Packages []string
	May      []string
	Why      string // ends the sentence of a violation
}

// Table has every package that there is or will be. One that is missing fails: what a
// new package may lean on is decided here first.
var Table = []Row{
	{
		[]string{"db", "migrations", "internal/config", "internal/archtest", "internal/wire", "internal/doctor"},
		nil,
		"it is a leaf, which everything else may stand on",
	},
	{
		[]string{"internal/failpoint"},
		[]string{"db"},
		"it stands between the queries and the database",
	},
	{
		[]string{"internal/maintain"},
		[]string{"db", "internal/failpoint"},
		"the library runs it, so it cannot know the library",
	},
	{
		[]string{Root},
		[]string{"db", "internal/failpoint", "internal/maintain"},
		"the library is the floor under internal/, never a facade over it",
	},
	{
		[]string{"internal/api/openapi"},
		[]string{Root},
		"the library's types are the shapes that the API's description states, not copies of them",
	},
	{
		[]string{"internal/postgres"},
		[]string{"migrations"},
		"getting hold of a migrated Postgres comes before everything that uses one",
	},
	{
		[]string{"internal/metrics"},
		[]string{Root},
		"it sees what the library's hooks show",
	},
	{
		[]string{"internal/api"},
		[]string{Root, "internal/api/openapi"},
		"a handler translates and calls the library; SQL and policy are not its business",
	},
	{
		[]string{"internal/demo", "internal/bench", "internal/top"},
		[]string{Root, "internal/postgres"},
		"it uses the library as any application would",
	},
	{
		[]string{"internal/proof"},
		[]string{Root, "internal/failpoint", "internal/postgres", "internal/wire", "migrations"},
		"it uses the library as any application would, over connections that break and schemas that change",
	},
	{
		[]string{"internal/dbtest"},
		[]string{"internal/postgres", "migrations"},
		"tests of every other package stand on it",
	},
	{
		[]string{"internal/faulttest"},
		[]string{Root, "internal/wire"},
		"it breaks the library from outside, as the world does",
	},
	{
		[]string{"internal/dlqtest"},
		[]string{Root},
		"it asks of the library what an operator asks, and looks into the tables for the truth",
	},
	{
		[]string{"internal/healthtest"},
		[]string{Root},
		"it makes rows that are ill and asks the library what is wrong",
	},
	{
		[]string{"internal/apitest"},
		[]string{Root, "internal/api", "internal/api/openapi"},
		"it asks over HTTP what the library was told, and holds every answer to the API's description",
	},
	{
		[]string{"internal/tasktest"},
		[]string{Root},
		"it changes tasks as an operator does and lets a worker keep them",
	},
	{
		[]string{"internal/reporttest"},
		[]string{Root},
		"it asks what a reporter asks in SQL, and the library for what has to agree",
	},
	{
		[]string{"internal/remotetest"},
		[]string{Root},
		"it is every worker that speaks through the library's Remote, and looks into the tables for the truth",
	},
	{
		[]string{"internal/bull"},
		[]string{Root},
		"it says what another queue's job is as one of ours, and no more",
	},
	{
		[]string{"internal/sqltest"},
		[]string{Root},
		"it proves the verbs without the library, but for the one formula that both have",
	},
	{
		[]string{"internal/metrictest"},
		[]string{Root},
		"it holds the library's figures against the rows and against sums worked out by hand",
	},
	{
		[]string{"internal/policytest"},
		[]string{Root},
		"it holds policies and priorities to what their users read",
	},
	{
		[]string{"penstocktest"},
		[]string{Root, "internal/postgres"},
		"it ships to users' tests, whose dependencies it must not add to",
	},
	{
		[]string{"penstockotel"},
		[]string{Root},
		"it ships to users' programs, and listens to the library as they could",
	},
	{
		[]string{"internal/mutate"},
		[]string{"internal/proof"},
		"it takes guards out of the others' text and needs none of their code",
	},
	{
		[]string{"internal/withpostgres"},
		[]string{"internal/postgres"},
		"it starts a server for another command and needs no more",
	},
	{[]string{"cmd/penstock"}, []string{
		Root, "db", "migrations", "internal/api", "internal/api/openapi", "internal/bench", "internal/bull", "internal/config",
		"internal/demo", "internal/doctor", "internal/failpoint", "internal/maintain", "internal/metrics", "internal/postgres",
		"internal/proof", "internal/top", "penstockotel",
	}, "the command line joins all that ships, and what serves tests does not ship"},
}

// ForTests lists what the tests of any package may import beside what the package may.
var ForTests = []string{"internal/dbtest", "internal/postgres", "migrations"}

// Fence keeps a library inside a few packages, their tests included.
type Fence struct {
	Library string // an import path and everything below it
	Inside  []string
	Why     string
}

// Fences has the libraries that would spread otherwise.
var Fences = []Fence{
	{
		"github.com/labstack/echo",
		[]string{"internal/api", "internal/api/openapi", "internal/apitest", "cmd/penstock"},
		"the library must not bring a web framework into its user's program",
	},
	{
		"github.com/prometheus",
		[]string{"internal/metrics", "cmd/penstock"},
		"the library tells its hooks, and metrics are one listener among others",
	},
	{
		"go.opentelemetry.io/otel/exporters",
		[]string{"internal/metrics", "cmd/penstock"},
		"where telemetry goes is the program's choice, not the library's",
	},
	{
		"charm.land",
		[]string{"internal/top"},
		"one command draws on the terminal",
	},
	{
		"github.com/netresearch/go-cron",
		[]string{"internal/maintain"},
		"what a schedule means is said in one place, daylight saving included",
	},
	{
		"github.com/testcontainers",
		[]string{"internal/dbtest"},
		"every test gets its database from dbtest, wherever that finds Postgres",
	},
}
