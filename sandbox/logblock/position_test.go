package logblock

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// chunks writes random pieces of numbered lines of both streams, n frames.
func chunks(t *testing.T, dir string, o WriterOptions, n int, at func(int) time.Time) {
	t.Helper()
	w, err := NewWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	var rest [3]string
	buf := make([]byte, MaxData+overhead)
	for i := range n {
		stream := byte(1 + rnd.IntN(2))
		text := rest[stream]
		for len(text) < 200 {
			text += fmt.Sprintf("stream %d frame %d %d\n", stream, i, rnd.Uint64())
		}
		cut := rnd.IntN(len(text)-1) + 1
		rest[stream] = text[cut:]
		copy(buf[HeaderSize:], text[:cut])
		if err := w.Append(stream, at(i), buf, cut); err != nil {
			t.Fatal(err)
		}
	}
}

func entries(t *testing.T, dir string, o ReadOptions) (lines []string, at []Position) {
	t.Helper()
	r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return lines, at
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(e.Line))
		at = append(at, r.Position())
	}
}

// TestPosition: wherever a reader stops, another goes on.
func TestPosition(t *testing.T) {
	dir := t.TempDir()
	chunks(t, dir, WriterOptions{MaxSize: 4096, MaxFiles: 100}, 500, func(int) time.Time { return time.Now() })
	all, at := entries(t, dir, ReadOptions{})
	for i := range all {
		rest, _ := entries(t, dir, ReadOptions{From: &at[i]})
		if len(rest) != len(all)-i-1 {
			t.Fatalf("after entry %d at %+v: %d entries, want %d", i, at[i], len(rest), len(all)-i-1)
		}
		for j := range rest {
			if rest[j] != all[i+1+j] {
				t.Fatalf("after entry %d at %+v: %q, want %q", i, at[i], rest[j], all[i+1+j])
			}
		}
	}
	removeSegment(dir, at[0].Segment)
	r, err := Open(dir, ReadOptions{From: &at[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Lost() {
		t.Error("nothing is missing?")
	}
}

// TestSinceHalves: a search for a time reads little, and finds the first line.
func TestSinceHalves(t *testing.T) {
	dir := t.TempDir()
	start := time.Unix(1e9, 0)
	chunks(t, dir, WriterOptions{}, 60000, func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) })
	all, _ := entries(t, dir, ReadOptions{})
	read := 0
	count := func(path string) (Packed, error) {
		f, err := os.Open(path)
		return &counted{plain{f}, &read}, err
	}
	if err := os.Rename(filepath.Join(dir, segmentName(1)), filepath.Join(dir, "00000001"+PackedSuffix)); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 30000, 59998} {
		since := start.Add(time.Duration(i) * time.Second)
		read = 0
		r, err := Open(dir, ReadOptions{Since: since, Unpack: count})
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Next(t.Context())
		if err != nil || e.Time.Before(since) {
			t.Errorf("since %d: %v, %v", i, e.Time, err)
		}
		// The one before it in the whole log is older.
		for j, line := range all {
			if line == string(e.Line) && j > 0 {
				first, _ := entries(t, dir, ReadOptions{Until: since.Add(-1), Unpack: count})
				if want := len(first); want != j && want != j+1 { // an unfinished line of the other stream counts there
					t.Errorf("since %d: entry %d is the first, %d are older", i, j, want)
				}
				break
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	read = 0
	r, err := Open(dir, ReadOptions{Since: start.Add(59000 * time.Second), Unpack: count})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(t.Context()); err != nil || read > 4<<20 {
		t.Errorf("%d bytes read (%v)", read, err)
	}
}

type counted struct {
	plain
	n *int
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.plain.ReadAt(b, off)
	*c.n += n
	return n, err
}
