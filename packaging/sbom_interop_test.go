//go:build interop

package packaging

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// component is a module in a bill of materials, as CycloneDX writes it.
type component struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Evidence struct {
		Licenses []struct {
			License struct {
				ID string `json:"id"`
			} `json:"license"`
		} `json:"licenses"`
	} `json:"evidence"`
}

// TestBillOfMaterials: it names the modules that Go itself finds in the program, all of them and no others, with the versions
// that are linked and a licence of each, and the Go that the program was built with.
func TestBillOfMaterials(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program(t, "1.0.0")), "coredns-kms.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat    string `json:"bomFormat"`
		SerialNumber string `json:"serialNumber"`
		Metadata     struct {
			Timestamp string    `json:"timestamp"`
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("%q, %v", bill.BOMFormat, err)
	}
	if bill.SerialNumber != "" || bill.Metadata.Timestamp != "" {
		t.Errorf("Serial number %q, time %q: two bills of one program would differ", bill.SerialNumber, bill.Metadata.Timestamp)
	}
	if c := bill.Metadata.Component; c.Name != "github.com/coredns-kms/coredns-kms" || c.Version != "v1.0.0" {
		t.Errorf("It is the bill of %s %s", c.Name, c.Version)
	}

	linked := make(map[string]string)
	for line := range strings.Lines(run(t, "go", "version", "-m", program(t, "1.0.0"))) {
		switch f := strings.Fields(line); {
		case len(linked) == 0: // the first line is the program and its Go
			linked["std"] = f[1]
		case f[0] == "dep":
			linked[f[1]] = f[2]
		case f[0] == "=>":
			t.Errorf("A module is replaced, which this test does not know: %s", line)
		}
	}
	if len(linked) < 30 || linked["github.com/coredns/coredns"] == "" {
		t.Fatalf("Only %v", linked)
	}
	for _, c := range bill.Components {
		if linked[c.Name] != c.Version {
			t.Errorf("The bill has %s %q, linked is %q", c.Name, c.Version, linked[c.Name])
		}
		if c.Name != "std" && (len(c.Evidence.Licenses) == 0 || c.Evidence.Licenses[0].License.ID == "") {
			t.Errorf("No licence of %s was found", c.Name)
		}
		delete(linked, c.Name)
	}
	for name, version := range linked {
		t.Errorf("The bill lacks %s %s", name, version)
	}
}

// released is the Go of go.mod's toolchain line.
func released(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, toolchain, found := strings.Cut(string(text), "\ntoolchain ")
	toolchain, _, _ = strings.Cut(toolchain, "\n")
	if !found {
		t.Fatal("go.mod has no toolchain line")
	}
	return toolchain
}

// TestReleasedGo: the program is linked with the standard library of go.mod's toolchain line, whichever Go is installed here.
// docs/security.md says why.
func TestReleasedGo(t *testing.T) {
	if got := strings.Fields(run(t, "go", "version", program(t, "1.0.0"))); got[1] != released(t) {
		t.Errorf("The program is built with %s, want %s", got[1], released(t))
	}
}
