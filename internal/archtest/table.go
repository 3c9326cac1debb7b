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
		[]string{
			"db", "migrations", "internal/bisect", "internal/pgerror", "internal/safetext", "internal/wait", "internal/grants", "internal/config",
			"internal/archtest", "internal/lab/wire", "internal/doctor", "internal/documents",
		},
		nil,
		"it is a leaf, which everything else may stand on",
	},
	{
		[]string{"internal/lab/failpoint"},
		[]string{"db"},
		"it stands between the queries and the database",
	},
	{
		[]string{"internal/dial"},
		[]string{"internal/safetext"},
		"opening a connection needs no more",
	},
	{
		[]string{"internal/listen"},
		[]string{"db", "internal/dial", "internal/wait"},
		"the library runs it, so it cannot know the library",
	},
	{
		[]string{"internal/maintain"},
		[]string{"db", "internal/lab/failpoint", "internal/safetext", "internal/wait"},
		"the library runs it, so it cannot know the library",
	},
	{
		[]string{Root},
		[]string{
			"db", "internal/lab/failpoint", "internal/maintain", "internal/bisect", "internal/dial", "internal/listen",
			"internal/pgerror", "internal/safetext", "internal/wait",
		},
		"the library is the floor under internal/, never a facade over it",
	},
	{
		[]string{"internal/remote"},
		[]string{
			Root, "db", "internal/lab/failpoint", "internal/bisect", "internal/dial", "internal/listen", "internal/pgerror",
			"internal/safetext", "internal/wait",
		},
		"it does for remote workers what the library does for its own, with the same parts",
	},
	{
		[]string{"internal/replies"},
		[]string{Root, "db", "internal/pgerror"},
		"it keeps answers of requests; what a request does is the library's business",
	},
	{
		[]string{"internal/httpapi/openapi"},
		[]string{Root, "internal/remote"},
		"the library's types are the shapes that the API's description states, not copies of them",
	},
	{
		[]string{"internal/postgres"},
		[]string{"migrations", "internal/dial"},
		"getting hold of a migrated Postgres comes before everything that uses one",
	},
	{
		[]string{"internal/metrics"},
		[]string{Root},
		"it sees what the library's hooks show",
	},
	{
		[]string{"internal/httpapi/validate"},
		nil,
		"it knows openapi.yaml and JSON, and nothing of jobs",
	},
	{
		[]string{"internal/httpapi"},
		[]string{Root, "internal/httpapi/openapi", "internal/httpapi/validate", "internal/remote", "internal/replies"},
		"a handler translates and calls the library; SQL and policy are not its business",
	},
	{
		[]string{"internal/terminal"},
		nil,
		"it writes for people whatever it is given, and knows no job",
	},
	{
		[]string{"internal/command"},
		[]string{Root, "internal/config", "internal/postgres", "internal/terminal"},
		"it is what every program of ours has from its process, before it does anything",
	},
	{
		[]string{"internal/command/commandtest"},
		[]string{"internal/testkit"},
		"it runs the programs of other packages in their tests",
	},
	{
		[]string{"internal/server"},
		[]string{Root, "internal/config", "internal/httpapi", "internal/maintain", "internal/metrics", "internal/postgres", "internal/remote", "internal/terminal", "penstockotel"},
		"it joins what a server runs; flags and printing are the commands' business",
	},
	{
		[]string{"internal/lab/demo", "internal/lab/bench", "internal/top"},
		[]string{Root, "internal/postgres", "internal/terminal"},
		"it uses the library as any application would",
	},
	{
		[]string{"internal/lab/proof"},
		[]string{Root, "internal/lab/failpoint", "internal/postgres", "internal/lab/wire", "migrations"},
		"it uses the library as any application would, over connections that break and schemas that change",
	},
	{
		[]string{"internal/testkit"},
		[]string{"internal/postgres", "internal/testkit/testdb", "migrations"},
		"tests of every other package stand on it",
	},
	{
		[]string{"internal/testkit/testdb"},
		[]string{"internal/postgres", "migrations"},
		"it is under penstocktest, which ships, and under testkit",
	},
	{
		[]string{"internal/tests/worker"},
		[]string{Root, "internal/lab/wire"},
		"it breaks the library from outside, as the world does",
	},
	{
		[]string{"internal/tests/upgrade"},
		[]string{Root, "internal/grants"},
		"it changes the schema below a worker, as the next release does",
	},
	{
		[]string{"internal/tests/deadletter"},
		[]string{Root},
		"it asks of the library what an operator asks, and looks into the tables for the truth",
	},
	{
		[]string{"internal/tests/health"},
		[]string{Root},
		"it makes rows that are ill and asks the library what is wrong",
	},
	{
		[]string{"internal/tests/http"},
		[]string{Root, "internal/httpapi", "internal/httpapi/openapi", "internal/remote"},
		"it asks over HTTP what the library was told, and holds every answer to the API's description",
	},
	{
		[]string{"internal/tests/tasks"},
		[]string{Root},
		"it changes tasks as an operator does and lets a worker keep them",
	},
	{
		[]string{"internal/tests/reports"},
		[]string{Root},
		"it asks what a reporter asks in SQL, and the library for what has to agree",
	},
	{
		[]string{"internal/tests/remote"},
		[]string{Root, "internal/remote"},
		"it plays remote workers, and checks the tables",
	},
	{
		[]string{"internal/bull"},
		[]string{Root},
		"it says what another queue's job is as one of ours, and no more",
	},
	{
		[]string{"internal/tests/verbs"},
		[]string{Root},
		"it proves the verbs without the library, but for the one formula that both have",
	},
	{
		[]string{"internal/tests/metrics"},
		[]string{Root},
		"it holds the library's figures against the rows and against sums worked out by hand",
	},
	{
		[]string{"internal/tests/policy"},
		[]string{Root},
		"it holds policies and priorities to what their users read",
	},
	{
		[]string{"penstocktest"},
		[]string{Root, "internal/postgres", "internal/testkit/testdb"},
		"it ships to users' tests, whose dependencies it must not add to",
	},
	{
		[]string{"penstockotel"},
		[]string{Root},
		"it ships to users' programs, and listens to the library as they could",
	},
	{
		[]string{"internal/lab/mutate"},
		[]string{"internal/lab/proof"},
		"it takes guards out of the others' text and needs none of their code",
	},
	{
		[]string{"internal/withpostgres"},
		[]string{"internal/testkit/testdb"},
		"it starts a server for another command and needs no more",
	},
	{
		[]string{"internal/schemafiles"},
		[]string{"internal/grants", "internal/postgres", "migrations"},
		"it writes what is generated from the schema, and uses nothing that stands on it",
	},
	{[]string{"cmd/penstock"}, []string{
		Root, "db", "migrations", "internal/bull", "internal/command", "internal/config", "internal/doctor", "internal/grants", "internal/httpapi/openapi",
		"internal/postgres", "internal/server", "internal/terminal", "internal/top",
	}, "the command line joins all that ships; what serves tests and the lab does not ship"},
	{[]string{"cmd/penstock-lab"}, []string{
		"internal/command", "internal/config", "internal/lab/bench", "internal/lab/demo", "internal/lab/failpoint", "internal/lab/mutate",
		"internal/lab/proof", "internal/server", "internal/terminal",
	}, "it gives those who judge the product what the lab has, and adds nothing of its own"},
}

// ForTests lists what the tests of any package may import beside what the package may.
var ForTests = []string{"internal/command/commandtest", "internal/testkit", "internal/postgres", "internal/documents", "migrations"}

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
		[]string{"internal/httpapi", "internal/httpapi/openapi", "internal/tests/http", "internal/server"},
		"the library must not bring a web framework into its user's program",
	},
	{
		"github.com/prometheus",
		[]string{"internal/metrics"},
		"the library tells its hooks, and metrics are one listener among others",
	},
	{
		"go.opentelemetry.io/otel/exporters",
		[]string{"internal/metrics"},
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
		nil,
		"tests start containers by the docker command, because its client library would be most of every test binary",
	},
}
