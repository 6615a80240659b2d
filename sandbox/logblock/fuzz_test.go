package logblock

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// FuzzReader reads damaged and hostile segments in every way. It must end,
// stay within its bounds, and a new Writer must make it a log again.
func FuzzReader(f *testing.F) {
	dir, w := newLog(f, WriterOptions{}, story...)
	good, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		f.Fatal(err)
	}
	_ = w.Close()
	f.Add(good, good, 3)
	f.Add(good[:50], good[:len(good)-5], 1)
	f.Add([]byte("berthlog"), []byte{}, 2)
	f.Fuzz(func(t *testing.T, one, two []byte, n int) {
		dir := t.TempDir()
		for i, data := range [][]byte{one, two} {
			if err := os.WriteFile(filepath.Join(dir, segmentName(uint64(i+1))), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n = n&63 + 1
		drain(t, dir, ReadOptions{})
		drain(t, dir, ReadOptions{Since: time.Unix(12, 0), Until: time.Unix(14, 0), Tail: 2})
		tail := drain(t, dir, ReadOptions{Tail: n})
		// Pieces of a long line are several entries.
		if len(tail) > n && len(one)+len(two) < maxPiece {
			t.Fatalf("tail %d has %d", n, len(tail))
		}
		w, err := NewWriter(dir, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, chunk{Stdout, 1, "more\n"})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if all := drain(t, dir, ReadOptions{}); !slices.Contains(all, "1@1 more") {
			t.Fatalf("what was written later is not read: %q", all)
		}
	})
}

func drain(t *testing.T, dir string, o ReadOptions) []string {
	r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Line) > maxPiece {
			t.Fatalf("entry of %d bytes", len(e.Line))
		}
		out = append(out, text(e))
	}
}
