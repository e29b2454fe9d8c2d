// Package monitoring checks what monitoring/ gives to Prometheus and Grafana: against the documents, against Grafana's own
// types, and, behind the interop tag, in a real Prometheus that scrapes the real server.
package monitoring

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"go.yaml.in/yaml/v3"
)

// file is a file of the project.
func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// alert is one of monitoring/alerts.yml.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var rules struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(strings.NewReader(file(t, "monitoring/alerts.yml")))
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range rules.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("No alerts in monitoring/alerts.yml")
	}
	return all
}

const documents = "https://github.com/coredns-kms/coredns-kms/blob/main/"

// TestAlertsAreDocumented: each has a severity, words, and a section in docs/alerts.md; and no section is about none.
func TestAlertsAreDocumented(t *testing.T) {
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^## (KMS\w+)$`).FindAllStringSubmatch(file(t, "docs/alerts.md"), -1) {
		headings[m[1]] = true
	}
	for _, a := range alerts(t) {
		if s := a.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
			t.Errorf("%s has severity %q, want critical, warning or info", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || len(a.Annotations) != 3 {
			t.Errorf("%s has the annotations %v, want summary, description and runbook_url", a.Alert, a.Annotations)
		}
		if got, want := a.Annotations["runbook_url"], documents+"docs/alerts.md#"+strings.ToLower(a.Alert); got != want {
			t.Errorf("%s has runbook_url %s, want %s", a.Alert, got, want)
		}
		if !headings[a.Alert] {
			t.Errorf("docs/alerts.md has no section on %s, or two alerts have that name", a.Alert)
		}
		delete(headings, a.Alert)
	}
	for name := range headings {
		t.Errorf("docs/alerts.md has a section on %s, which is no alert", name)
	}
}

// TestAlertsHaveCases: alerts_test.yml has each alert fire, and not fire.
func TestAlertsHaveCases(t *testing.T) {
	var cases struct {
		Tests []struct {
			PromQL []struct {
				Expr string `yaml:"expr"`
				Want []any  `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal([]byte(file(t, "monitoring/alerts_test.yml")), &cases); err != nil {
		t.Fatal(err)
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	name := regexp.MustCompile(`^ALERTS\{alertname="(\w+)", alertstate="firing"\}$`)
	for _, c := range cases.Tests {
		for _, q := range c.PromQL {
			m := name.FindStringSubmatch(q.Expr)
			if m == nil {
				t.Fatalf("A case looks at %s, want ALERTS of one name that fire", q.Expr)
			}
			if len(q.Want) > 0 {
				fires[m[1]] = true
			} else {
				quiet[m[1]] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s is seen to fire: %t, and not to fire: %t", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

// TestMetricsExist: alerts and dashboard ask for nothing that README.md does not list, where another test compares it with
// what is registered.
func TestMetricsExist(t *testing.T) {
	_, section, _ := strings.Cut(file(t, "README.md"), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	known := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(coredns_kms_\\w+)").FindAllStringSubmatch(section, -1) {
		known[m[1]] = true
	}
	for _, name := range []string{"monitoring/alerts.yml", "monitoring/alerts_test.yml", "monitoring/grafana-dashboard.json"} {
		found := regexp.MustCompile(`\bcoredns_kms_\w+`).FindAllString(file(t, name), -1)
		if len(found) == 0 {
			t.Errorf("%s asks for no metric", name)
		}
		for _, m := range found {
			if !known[m] && !known[strings.TrimSuffix(m, "_bucket")] {
				t.Errorf("%s asks for %s, which README.md does not list", name, m)
			}
		}
	}
}

// classic is a dashboard in the form that every Grafana imports.
//
//lint:ignore SA1019 the form that is to replace it is not for the Grafanas that people have
type classic = dashboard.Dashboard

// readDashboard reads the dashboard as Grafana's own types have it: no field may be missing, unknown or of another kind.
func readDashboard(t *testing.T) classic {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	var d classic
	if wrong := problems(d.UnmarshalJSONStrict([]byte(file(t, "monitoring/grafana-dashboard.json")))); wrong != "" {
		t.Fatalf("Not a dashboard:\n%s", wrong)
	}
	return d
}

// problems is err in words. Where there are none, Grafana's types return an empty list of them rather than nil.
func problems(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestDashboardIsOne: Grafana's types read it to the last field, and would notice one that they do not know.
func TestDashboardIsOne(t *testing.T) {
	d := readDashboard(t)
	if wrong := problems(d.Validate()); wrong != "" {
		t.Errorf("Not a valid dashboard:\n%s", wrong)
	}
	if newest := dashboard.NewDashboard().SchemaVersion; d.SchemaVersion != newest {
		t.Errorf("Schema version %d, want %d", d.SchemaVersion, newest)
	}
	written := file(t, "monitoring/grafana-dashboard.json")
	broken := strings.Replace(written, `"legendFormat"`, `"legend_format"`, 1)
	var other classic
	if problems(other.UnmarshalJSONStrict([]byte(broken))) == "" {
		t.Error("A query with a field that Grafana does not know is taken: this test shows nothing")
	}
}

// TestDashboardIsReadable: every panel says what it shows, lies where no other does, and links lead somewhere.
func TestDashboardIsReadable(t *testing.T) {
	d := readDashboard(t)
	ids, taken := make(map[uint32]bool), make(map[[2]int64]string)
	for _, p := range d.Panels {
		if p.Panel == nil {
			continue // a row, which is a heading
		}
		title := *p.Panel.Title
		if p.Panel.Description == nil || len(*p.Panel.Description) < 20 || title == "" {
			t.Errorf("Panel %q does not say what it shows", title)
		}
		if ids[*p.Panel.Id] {
			t.Errorf("Panel %q has the number of another: %d", title, *p.Panel.Id)
		}
		ids[*p.Panel.Id] = true
		g := p.Panel.GridPos
		if g.X+g.W > 24 {
			t.Errorf("Panel %q ends in column %d of 24", title, g.X+g.W)
		}
		for x := range int64(g.W) {
			for y := range int64(g.H) {
				at := [2]int64{int64(g.X) + x, int64(g.Y) + y}
				if other := taken[at]; other != "" {
					t.Fatalf("Panel %q lies over %q", title, other)
				}
				taken[at] = title
			}
		}
	}
	sections := file(t, "docs/alerts.md")
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(sections, -1) {
		headings[strings.ToLower(m[1])] = true
	}
	written := file(t, "monitoring/grafana-dashboard.json")
	for _, m := range regexp.MustCompile(`docs/alerts\.md#(\w+)`).FindAllStringSubmatch(written, -1) {
		if !headings[m[1]] {
			t.Errorf("The dashboard links to docs/alerts.md#%s, which is not there", m[1])
		}
	}
}

// variables is the names of the dashboard's variables.
func variables(d classic) map[string]bool {
	all := make(map[string]bool)
	for _, v := range d.Templating.List {
		all[v.Name] = true
	}
	return all
}

// TestDashboardVariables: every variable that is used is one of the dashboard's or of Grafana's, and the dashboard's are used.
func TestDashboardVariables(t *testing.T) {
	known := variables(readDashboard(t))
	unused := variables(readDashboard(t))
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(file(t, "monitoring/grafana-dashboard.json"), -1) {
		if name := m[1]; !known[name] && !strings.HasPrefix(name, "__") {
			t.Errorf("$%s is used and is no variable", name)
		}
		delete(unused, m[1])
	}
	for name := range unused {
		t.Errorf("Variable %s is not used", name)
	}
}

// A query is one of the dashboard's, as it stands there.
type query struct{ panel, expr string }

// queries is every query of the dashboard: of panels and of annotations.
func queries(t *testing.T) []query {
	t.Helper()
	type target struct{ Expr string }
	var d struct {
		Panels []struct {
			Title   string
			Targets []target
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(file(t, "monitoring/grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	var all []query
	for _, p := range d.Panels {
		for _, g := range p.Targets {
			all = append(all, query{p.Title, g.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			all = append(all, query{"annotation " + a.Name, a.Expr})
		}
	}
	return all
}

// TestDashboardHasQueries: every panel but the headings asks for something.
func TestDashboardHasQueries(t *testing.T) {
	asked := make(map[string]bool)
	for _, q := range queries(t) {
		if q.expr == "" {
			t.Errorf("Panel %q has an empty query", q.panel)
		}
		asked[q.panel] = true
	}
	for _, p := range readDashboard(t).Panels {
		if p.Panel != nil && !asked[*p.Panel.Title] {
			t.Errorf("Panel %q asks for nothing", *p.Panel.Title)
		}
	}
}
