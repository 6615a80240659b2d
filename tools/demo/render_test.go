package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestPages: the documentation shows what the samples beside it say.
func TestPages(t *testing.T) {
	files, err := rendered("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the samples say: run `bin/demo -render`", path)
		}
	}
}

// TestSmallServices: what examples/channels has one look at is small.
func TestSmallServices(t *testing.T) {
	for _, service := range []string{"gateway", "price", "stock", "pay", "ledger"} {
		files, err := filepath.Glob("../../examples/channels/" + service + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", service, files, err)
		}
		lines := 0
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte("\n"))
		}
		if lines >= 100 {
			t.Errorf("%s has %d lines", service, lines)
		}
	}
}
