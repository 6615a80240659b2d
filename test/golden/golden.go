// Package golden compares what tests get with files that are kept.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Update is the flag -update of tests that import this package: files are written
// anew before they are compared with.
var Update = flag.Bool("update", false, "rewrite the golden files")

// Compare fails the test if got is not what the file of that name has, in the
// package's testdata. It tells whether it is, for who has more to say.
func Compare(t *testing.T, name, got string) bool {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *Update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
	return got == string(want)
}
