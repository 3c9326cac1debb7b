package archtest

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestImportsFollowTheTable(t *testing.T) {
	repository := os.DirFS("../..")
	manifest, err := fs.ReadFile(repository, "go.mod")
	require.NoError(t, err)
	require.Contains(t, string(manifest), "module "+Module+"\n", "the test reads the repository's root")

	violations, err := Check(repository)
	require.NoError(t, err)
	for _, violation := range violations {
		t.Error(violation)
	}
}

// file is a Go file that imports what is named.
func file(pkg string, imports ...string) *fstest.MapFile {
	source := "package " + pkg + "\n"
	for _, imported := range imports {
		source += "import _ \"" + imported + "\"\n"
	}
	return &fstest.MapFile{Data: []byte(source)}
}

func TestViolationsAreFoundAndExplained(t *testing.T) {
	for _, c := range []struct {
		name, path string
		file       *fstest.MapFile
		want       string // the whole sentence; empty when nothing is wrong
	}{
		{"a handler may call the library", "internal/httpapi/a.go", file("api", Module), ""},
		{
			"a handler may not reach around the library", "internal/httpapi/a.go", file("api", "net/http", Module+"/db"),
			"internal/httpapi/a.go:3: internal/httpapi may not import db: a handler translates and calls the library; SQL and policy are not its business.",
		},
		{
			"the library may not import what stands on it", "client.go", file("penstock", Module+"/internal/metrics"),
			"client.go:2: penstock may not import internal/metrics: the library is the floor under internal/, never a facade over it.",
		},
		{
			"a leaf may not import the root", "internal/config/c.go", file("config", Module),
			"internal/config/c.go:2: internal/config may not import penstock: it is a leaf, which everything else may stand on.",
		},
		{
			"what serves tests does not ship", "cmd/penstock/main.go", file("main", Module+"/internal/testkit"),
			"cmd/penstock/main.go:2: cmd/penstock may not import internal/testkit: the command line joins all that ships; what serves tests and the lab does not ship.",
		},
		{
			"another system's file is held to the rules too", "internal/postgres/p_plan9.go", file("postgres", Module),
			"internal/postgres/p_plan9.go:2: internal/postgres may not import penstock: getting hold of a migrated Postgres comes before everything that uses one.",
		},
		{
			"a subpackage does not inherit its parent's row", "internal/httpapi/v2/a.go", file("v2"),
			"internal/httpapi/v2/a.go: package internal/httpapi/v2 is not in archtest's table: add a row that says what it may import, and why.",
		},
		{"tests may use testkit, postgres and their own package", "client_test.go", file("penstock_test", Module, Module+"/internal/testkit", Module+"/internal/postgres"), ""},
		{
			"tests may not import just anything", "client_test.go", file("penstock_test", Module+"/internal/httpapi"),
			"client_test.go:2: penstock may not import internal/httpapi: the library is the floor under internal/, never a facade over it.",
		},
		{"echo may serve the API", "internal/httpapi/openapi/o.go", file("openapi", "github.com/labstack/echo/v4"), ""},
		{
			"echo stays out of the library", "worker.go", file("penstock", "github.com/labstack/echo/v4/middleware"),
			"worker.go:2: penstock may not import github.com/labstack/echo/v4/middleware: the library must not bring a web framework into its user's program.",
		},
		{
			"prometheus stays in metrics", "internal/httpapi/a.go", file("api", "github.com/prometheus/client_golang/prometheus"),
			"internal/httpapi/a.go:2: internal/httpapi may not import github.com/prometheus/client_golang/prometheus: the library tells its hooks, and metrics are one listener among others.",
		},
		{
			"exporters stay in metrics", "hooks.go", file("penstock", "go.opentelemetry.io/otel/exporters/otlp"),
			"hooks.go:2: penstock may not import go.opentelemetry.io/otel/exporters/otlp: where telemetry goes is the program's choice, not the library's.",
		},
		{"the tracing API is no exporter", "hooks.go", file("penstock", "go.opentelemetry.io/otel/trace"), ""},
		{
			"tests get containers without a client library", "internal/httpapi/a_test.go", file("api", "github.com/testcontainers/testcontainers-go"),
			"internal/httpapi/a_test.go:2: internal/httpapi may not import github.com/testcontainers/testcontainers-go: tests start containers by the docker command, because its client library would be most of every test binary.",
		},
		{"a longer name is another library", "worker.go", file("penstock", "github.com/labstack/echoes"), ""},
		{"testdata is no package", "internal/httpapi/testdata/a.go", file("a", Module+"/db"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			violations, err := Check(fstest.MapFS{"go.mod": {}, c.path: c.file})
			require.NoError(t, err)
			require.Equal(t, c.want, strings.Join(violations, "\n"))
		})
	}
}

func TestNestedModulesHaveTheirOwnRules(t *testing.T) {
	violations, err := Check(fstest.MapFS{"go.mod": {}, "tools/go.mod": {}, "tools/a.go": file("tools", Module)})
	require.NoError(t, err)
	require.Empty(t, violations)
}

func TestAFileThatDoesNotParseIsAnErrorAndNotSilence(t *testing.T) {
	_, err := Check(fstest.MapFS{"db/a.go": {Data: []byte("package")}})
	require.ErrorContains(t, err, "db/a.go")
}

func TestTheTableNamesEachPackageOnceAndOnlyPackagesItHas(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range Table {
		require.NotEmpty(t, row.Why)
		for _, name := range row.Packages {
			require.False(t, listed[name], name)
			listed[name] = true
		}
	}
	for _, row := range Table {
		for _, name := range row.May {
			require.True(t, listed[name], name)
		}
	}
	for _, fence := range Fences {
		for _, name := range fence.Inside {
			require.True(t, listed[name], name)
		}
	}
}
