package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const fieldsPage = "../../docs/containers.md"

const fieldsHead = `# What a request for a container says

Made by ` + "`go test ./test/e2e -run TestFieldsPage -update`" + ` from the probes in test/e2e/fields*_test.go: TestFields runs a
real container with and without each field and demands that what is seen differs, or that the error is the one listed.
It fails when the API has a field that is in neither list, so nothing is ignored in silence. Fields that limit what
this host's kernel cannot limit are discarded with a warning of ` + "`create`" + `, in Docker's words.

| field | what it does here |
|---|---|
`

// TestFieldsPage: the page for users says what the probes say.
func TestFieldsPage(t *testing.T) {
	does, refused := map[string]string{}, map[string]bool{}
	for _, p := range probes() {
		if does[p.field] == "" {
			does[p.field] = p.does
		}
		if p.refused != "" && p.does == "" {
			refused[p.field] = true
		}
	}
	var b strings.Builder
	b.WriteString(fieldsHead)
	for _, f := range requestFields() {
		text := does[f]
		switch _, written := answers[f]; {
		case written:
			text = "written by the engine; what a request says there means nothing"
		case text == "" && refused[f]:
			text = "refused: not supported yet"
		case text == "":
			t.Errorf("%s: its probe does not say what it does", f)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", f, text)
	}
	if *rewrite {
		if err := os.WriteFile(fieldsPage, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page of the documentation
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(fieldsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != b.String() {
		t.Error(fieldsPage + " is out of date: run this test with -update")
	}
}
