package berth

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers is the one statement of which way dependencies point: for every top
// folder, the other top folders that its packages may import. A folder that is
// not listed may import none. Widen a line only together with
// docs/architecture.md.
var layers = map[string]string{
	"fault":     "", // fail points; every folder may import it
	"api":       "",
	"kernel":    "",
	"oci":       "",
	"web":       "",
	"config":    "api",
	"event":     "api",
	"plugin":    "kernel",
	"sandbox":   "kernel",
	"volume":    "event kernel plugin",
	"image":     "event kernel oci",
	"network":   "event kernel plugin",
	"container": "api event image kernel network oci sandbox volume",
	"build":     "api container event image kernel network oci sandbox",
	"swarm":     "api container event image network volume",
	"server":    "api build config container event image network plugin swarm volume",
	"hub":       "oci web",
	"compose":   "api",
	"cli":       "api",
	"cmd":       "api build cli compose config container event hub image kernel network plugin sandbox server swarm volume web",
	"test":      "api cli hub kernel oci sandbox",
	"tools":     "api cli config oci",
}

// TestLayers fails on an import that the table does not allow.
func TestLayers(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m").Output()
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.TrimSpace(string(out)) + "/"
	format := `{{range .Imports}}{{$.ImportPath}} {{.}}{{"\n"}}{{end}}`
	out, err = exec.CommandContext(t.Context(), "go", "list", "-f", format, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		from, inside := strings.CutPrefix(from, mod)
		to, local := strings.CutPrefix(to, mod)
		if !inside || !local {
			continue
		}
		a, _, _ := strings.Cut(from, "/")
		b, _, _ := strings.Cut(to, "/")
		if a != b && b != "fault" && !slices.Contains(strings.Fields(layers[a]), b) {
			t.Errorf("%s imports %s; %q may import only: %s", from, to, a, layers[a])
		}
	}
}
