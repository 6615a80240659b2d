package berth

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
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
	"trace":     "", // where time goes; likewise
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
	"server":    "api build config container event image network oci plugin swarm volume",
	"hub":       "oci web",
	"compose":   "api",
	"cli":       "api",
	"cmd":       "api build cli compose config container event hub image kernel network plugin sandbox server swarm volume web",
	"test":      "api cli hub kernel oci sandbox",
	"tools":     "api cli compose config oci test",
}

const module = "github.com/berth-engine/berth/"

// TestLayers fails on an import that the table does not allow. It reads the
// sources itself: of what another program reads, go test's cache knows nothing.
func TestLayers(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(path) > 1 && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		return checkImports(t, path)
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d source files were found", files)
	}
}

func checkImports(t *testing.T, path string) error {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	from, _, nested := strings.Cut(filepath.ToSlash(path), "/")
	if !nested {
		return nil
	}
	for _, spec := range f.Imports {
		to, local := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
		to, _, _ = strings.Cut(to, "/")
		if local && to != from && to != "fault" && to != "trace" && !slices.Contains(strings.Fields(layers[from]), to) {
			t.Errorf("%s imports %s; %q may import only: %s", path, to, from, layers[from])
		}
	}
	return nil
}
