package main

import (
	"bytes"
	"os"
	"testing"
)

// TestBenchmarksAreRendered fails when docs/benchmarks.md was edited by hand
// or not rendered again after a run.
func TestBenchmarksAreRendered(t *testing.T) {
	var want bytes.Buffer
	if err := renderFolder(&want, "../../docs/benchmarks"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/benchmarks.md is not what docs/benchmarks/*.json say: run `make bench-render`")
	}
}

func TestQuantile(t *testing.T) {
	s := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 6, 0.9: 10, 1: 10} {
		if got := quantile(s, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
}
