package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	dashboardFile = "../../docs/grafana/dashboard.json"
	alertsFile    = "../../docs/grafana/alerts.yaml"
)

// expression is one query of the dashboard or of an alert.
type expression struct{ where, text string }

// dashboardExpressions are the queries of every panel, with Grafana's variables filled
// in as Grafana does.
func dashboardExpressions(t *testing.T) (all []expression) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			ID          int
			Title, Type string
			Targets     []struct{ Expr string }
			GridPos     struct{ X, Y, W, H int }
		}
	}
	text, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))
	fill := strings.NewReplacer("$__rate_interval", "5m", "$queue", ".*", "$job", ".*")
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], "panel %d twice", p.ID)
		ids[p.ID] = true
		require.Equal(t, p.Type != "row", len(p.Targets) > 0, p.Title)
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, target := range p.Targets {
			filled := fill.Replace(target.Expr)
			require.NotContains(t, filled, "$", "%s: a variable that the dashboard does not have", p.Title)
			all = append(all, expression{"panel " + p.Title, filled})
		}
	}
	return all
}

func alertExpressions(t *testing.T) (all []expression) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	text, err := os.ReadFile(alertsFile)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			require.NotEmpty(t, r.Annotations.Summary, r.Alert)
			require.NotEmpty(t, r.Annotations.Description, r.Alert)
			require.Contains(t, []string{"info", "warning", "critical"}, r.Labels["severity"], r.Alert)
			all = append(all, expression{"alert " + r.Alert, r.Expr})
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b((?:penstock|process)_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	words    = regexp.MustCompile(`\w+`)
)

// target labels come from the scraper.
var target = []string{"job", "instance"}

// exposed is each series name with its labels' values, as a scraper stores them:
// histograms as _bucket, _sum and _count.
func exposed(t *testing.T, families []*dto.MetricFamily) map[string]map[string][]string {
	t.Helper()
	names := map[string]map[string][]string{}
	for _, f := range families {
		suffixes := []string{""}
		if f.GetType() == dto.MetricType_HISTOGRAM {
			suffixes = []string{"_bucket", "_sum", "_count"}
		}
		for _, suffix := range suffixes {
			labels := map[string][]string{}
			for _, m := range f.GetMetric() {
				for _, pair := range m.GetLabel() {
					labels[pair.GetName()] = append(labels[pair.GetName()], pair.GetValue())
				}
			}
			if suffix == "_bucket" {
				labels["le"] = nil
			}
			names[f.GetName()+suffix] = labels
		}
	}
	return names
}

// TestEveryExpressionAsksForWhatIsExposed holds dashboard and alerts to a live
// registry: each series they name exists after a workload, each label belongs to it,
// and each value that is matched exactly occurs.
func TestEveryExpressionAsksForWhatIsExposed(t *testing.T) {
	t.Parallel()
	m := work(t)
	families, err := m.registry.Gather()
	require.NoError(t, err)
	series := exposed(t, families)
	all := append(dashboardExpressions(t), alertExpressions(t)...)
	require.Greater(t, len(all), 60)
	asked := map[string]bool{}
	for _, e := range all {
		known := slices.Clone(target) // what groupings may name: labels of any series in the expression
		found := selector.FindAllStringSubmatch(e.text, -1)
		require.NotEmpty(t, found, "%s asks for nothing of ours: %s", e.where, e.text)
		for _, f := range found {
			labels, ok := series[f[1]]
			require.True(t, ok, "%s: %s is not exposed", e.where, f[1])
			asked[strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(f[1], "_bucket"), "_sum"), "_count")] = true
			for _, match := range matcher.FindAllStringSubmatch(f[2], -1) {
				values, ok := labels[match[1]]
				require.True(t, ok || slices.Contains(target, match[1]), "%s: %s has no label %s", e.where, f[1], match[1])
				if match[2] == "=" {
					require.Contains(t, values, match[3], "%s: %s never has %s=%q", e.where, f[1], match[1], match[3])
				}
				if match[2] == "=~" && match[3] != ".*" {
					for _, one := range strings.Split(match[3], "|") {
						require.Contains(t, values, one, "%s: %s never has %s=%q", e.where, f[1], match[1], one)
					}
				}
			}
			for label := range labels {
				known = append(known, label)
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(e.text, -1) {
			for _, label := range words.FindAllString(g[1], -1) {
				require.Contains(t, known, label, "%s groups by what none of its series has: %s", e.where, e.text)
			}
		}
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), namespace) {
			require.True(t, asked[f.GetName()] || unasked[f.GetName()], "%s is in no panel and no alert", f.GetName())
		}
	}
}

// unasked is what is exposed for a closer look than a dashboard's.
var unasked = map[string]bool{
	"penstock_queue_slots": true, "penstock_task_runs_total": true, "penstock_samples_read_seconds": true, "penstock_pool_acquires_total": true, "penstock_pool_connections_opened_total": true,
}

// TestPrometheusTakesEveryExpression asks Prometheus itself, where its promtool is.
func TestPrometheusTakesEveryExpression(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on PATH: install Debian's package prometheus, or Prometheus's release, to check the syntax too")
	}
	check := func(file string) {
		t.Helper()
		out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	check(alertsFile)
	var rules bytes.Buffer
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range dashboardExpressions(t) {
		fmt.Fprintf(&rules, "  - record: expression:number%d\n    expr: %q\n", i, e.text)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	require.NoError(t, os.WriteFile(file, rules.Bytes(), 0o600))
	check(file)
}
