package logblock

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

// chunk is one call of Append.
type chunk struct {
	stream byte
	sec    int64
	data   string
}

func write(t testing.TB, w *Writer, chunks ...chunk) {
	t.Helper()
	for _, c := range chunks {
		buf := make([]byte, HeaderSize+len(c.data)+TrailerSize)
		n := copy(buf[HeaderSize:], c.data)
		if err := w.Append(c.stream, time.Unix(c.sec, 0), buf, n); err != nil {
			t.Fatal(err)
		}
	}
}

func newLog(t testing.TB, o WriterOptions, chunks ...chunk) (string, *Writer) {
	t.Helper()
	dir := t.TempDir()
	w, err := NewWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	write(t, w, chunks...)
	return dir, w
}

// show reads everything as one string per entry: "stream@second text", '…'
// before a continuation and behind a piece.
func show(t testing.TB, dir string, o ReadOptions) []string {
	t.Helper()
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
		out = append(out, text(e))
	}
}

func text(e Entry) string {
	s := string(e.Line)
	if e.Continued {
		s = "…" + s
	}
	if e.Partial {
		s += "…"
	}
	return fmt.Sprintf("%d@%d %s", e.Stream, e.Time.Unix(), s)
}

var story = []chunk{
	{Stdout, 10, "a\nb"},
	{Stderr, 11, "x\n"},
	{Stdout, 12, "b\nc\n"},
	{Stderr, 13, "y"},
	{Stdout, 14, "d\n"},
	{Stderr, 15, "z\nlast"},
}

func TestRead(t *testing.T) {
	dir, _ := newLog(t, WriterOptions{}, story...)
	for _, tc := range []struct {
		name string
		o    ReadOptions
		want string
	}{
		{"all", ReadOptions{}, "1@10 a|2@11 x|1@10 bb|1@12 c|1@14 d|2@13 yz|2@15 last…"},
		{"stdout", ReadOptions{Stdout: true}, "1@10 a|1@10 bb|1@12 c|1@14 d"},
		{"since", ReadOptions{Since: time.Unix(12, 0)}, "1@12 c|1@14 d|2@13 yz|2@15 last…"},
		{"until", ReadOptions{Until: time.Unix(13, 0)}, "1@10 a|2@11 x|1@10 bb|1@12 c|2@13 yz"},
		{"tail 3", ReadOptions{Tail: 3}, "1@14 d|2@13 yz|2@15 last…"},
		{"tail 2 of stdout", ReadOptions{Tail: 2, Stdout: true}, "1@12 c|1@14 d"},
		{"tail more than there is", ReadOptions{Tail: 99, Stderr: true}, "2@11 x|2@13 yz|2@15 last…"},
		{"tail none", ReadOptions{Tail: -1}, ""},
		{"tail and until", ReadOptions{Tail: 2, Until: time.Unix(12, 0)}, "1@10 bb|1@12 c"},
	} {
		if got := strings.Join(show(t, dir, tc.o), "|"); got != tc.want {
			t.Errorf("%s: %s; want %s", tc.name, got, tc.want)
		}
	}
	if got := show(t, filepath.Join(dir, "nothing"), ReadOptions{Tail: 5}); got != nil {
		t.Errorf("missing log: %q", got)
	}
}

// TestGolden fixes the bytes of version 1.
func TestGolden(t *testing.T) {
	dir, w := newLog(t, WriterOptions{})
	w.gap = true
	write(t, w, story...)
	got, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	copy(got, segmentHeader(1, time.Unix(9, 5)))
	golden := filepath.Join("testdata", "v1.blk")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("format changed:\n%x\nwant\n%x", got, want)
	}
}

func TestRotation(t *testing.T) {
	dir, w := newLog(t, WriterOptions{MaxSize: 400, MaxFiles: 3})
	var all []string
	for i := range 100 {
		write(t, w, chunk{Stdout, int64(i), fmt.Sprintf("line %02d\nhalf ", i)})
		line := fmt.Sprintf("1@%d half line %02d", i-1, i)
		all = append(all, line)
	}
	seqs, err := segments(dir)
	if err != nil || len(seqs) != 3 {
		t.Fatalf("segments %v, %v", seqs, err)
	}
	got := show(t, dir, ReadOptions{})
	// The head of the first line was rotated away; the last one is unfinished.
	if !strings.Contains(got[0], "…line") || got[len(got)-1] != "1@99 half …" {
		t.Errorf("ends: %q %q", got[0], got[len(got)-1])
	}
	if mid := got[1 : len(got)-1]; !slices.Equal(mid, all[100-len(mid):]) {
		t.Errorf("got %q", mid)
	}
	for n := 1; n < len(got)-1; n++ {
		if tail := show(t, dir, ReadOptions{Tail: n}); !slices.Equal(tail, got[len(got)-n:]) {
			t.Fatalf("tail %d: %q", n, tail)
		}
	}
	since := show(t, dir, ReadOptions{Since: time.Unix(97, 0)})
	if !slices.Equal(since, got[len(got)-3:]) {
		t.Errorf("since: %q", since)
	}
}

// TestContinue: a log goes on by its State as it would have without.
func TestContinue(t *testing.T) {
	o := WriterOptions{MaxSize: 400, MaxFiles: 2}
	dir, w := newLog(t, o)
	plain, other := newLog(t, o)
	for i, c := range append(slices.Repeat(story, 10), chunk{Stdout, 16, "\nend\n"}) {
		if i%7 == 3 {
			w.gap, other.gap = true, true // as after a failure
		}
		f, size, marks := w.State()
		w = Continue(dir, o, f, size, marks)
		write(t, w, c)
		write(t, other, c)
	}
	t.Cleanup(func() { _ = w.Close() })
	for _, name := range []string{dir, plain} {
		if seqs, err := segments(name); err != nil || len(seqs) != 2 || seqs[0] < 2 {
			t.Errorf("segments %v, %v", seqs, err)
		}
	}
	if got, want := show(t, dir, ReadOptions{}), show(t, plain, ReadOptions{}); !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	for _, seq := range w.seqs {
		got, err := os.ReadFile(filepath.Join(dir, segmentName(seq)))
		want, werr := os.ReadFile(filepath.Join(plain, segmentName(seq)))
		if err != nil || werr != nil || !bytes.Equal(got[segmentHead:], want[segmentHead:]) {
			t.Errorf("segment %d: %v, %v", seq, err, werr)
		}
	}
}

// TestTorn cuts the log at every byte of its last frame, as a crash may, and
// then lets a new writer go on.
func TestTorn(t *testing.T) {
	dir, w := newLog(t, WriterOptions{}, chunk{Stdout, 1, "one\n"}, chunk{Stdout, 2, "two\n"})
	path := filepath.Join(dir, segmentName(1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for cut := len(whole) - overhead - 3; cut < len(whole); cut++ {
		torn := bytes.Clone(whole[:cut])
		if cut < len(whole)-TrailerSize && cut%2 == 0 {
			torn = append(torn, make([]byte, 7)...) // as a power loss may leave it
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, tail := range []int{0, 1, 5} {
			if got := show(t, dir, ReadOptions{Tail: tail}); !slices.Equal(got, []string{"1@1 one"}) {
				t.Fatalf("cut %d tail %d: %q", cut, tail, got)
			}
		}
		w, err := NewWriter(dir, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, chunk{Stdout, 3, "three\n"})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := show(t, dir, ReadOptions{}); !slices.Equal(got, []string{"1@1 one", "1@3 three"}) {
			t.Fatalf("cut %d, resumed: %q", cut, got)
		}
	}
}

// TestLongLine hands out pieces that make the line again.
func TestLongLine(t *testing.T) {
	for _, n := range []int{maxPiece - 1, maxPiece, maxPiece + 1, 5*maxPiece + 7} {
		line := strings.Repeat("0123456789abcde\t", n/16+1)[:n]
		var cs []chunk
		for rest := line + "\nnext\n"; rest != ""; {
			k := min(len(rest), 1000)
			cs, rest = append(cs, chunk{Stdout, 1, rest[:k]}), rest[k:]
		}
		dir, _ := newLog(t, WriterOptions{MaxSize: 20000, MaxFiles: 99}, cs...)
		r, err := Open(dir, ReadOptions{Tail: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got []byte
		for {
			e, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Line) > maxPiece || e.Continued != (len(got) > 0) {
				t.Fatalf("piece of %d bytes, continued %v", len(e.Line), e.Continued)
			}
			got = append(got, e.Line...)
			if !e.Partial {
				break
			}
		}
		if string(got) != line {
			t.Errorf("line of %d bytes became %d", n, len(got))
		}
		if e, err := r.Next(t.Context()); err != nil || string(e.Line) != "next" {
			t.Errorf("then %q, %v", e.Line, err)
		}
	}
}

// TestFollow reads while the log grows and rotates, until it is done.
func TestFollow(t *testing.T) {
	dir, w := newLog(t, WriterOptions{MaxSize: 2000, MaxFiles: 1000}, chunk{Stdout, 1, "old\nopen "})
	done := make(chan struct{})
	r, err := Open(dir, ReadOptions{Follow: true, Tail: -1, Done: done})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const lines = 2000
	go func() {
		defer close(done)
		for i := range lines {
			write(t, w, chunk{Stdout, 2, fmt.Sprintf("%d\n", i)})
		}
		write(t, w, chunk{Stderr, 3, "end"})
	}()
	for i := range lines {
		e, err := r.Next(t.Context())
		want := fmt.Sprint(i)
		if i == 0 {
			want = "open 0"
		}
		if err != nil || string(e.Line) != want {
			t.Fatalf("%d: %q, %v", i, e.Line, err)
		}
	}
	if e, err := r.Next(t.Context()); err != nil || string(e.Line) != "end" || !e.Partial {
		t.Errorf("%q, %v", e.Line, err)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
}

// TestFirstOutput: who says nothing has no segment, and who follows gets what is said
// first, whatever Tail he asks for.
func TestFirstOutput(t *testing.T) {
	for _, tail := range []int{0, -1, 3} {
		dir, w := newLog(t, WriterOptions{})
		if seqs, err := segments(dir); err != nil || len(seqs) != 0 {
			t.Errorf("segments %v, %v", seqs, err)
		}
		r, err := Open(dir, ReadOptions{Follow: true, Tail: tail})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if more, err := r.nextFrame(); more || err != nil {
			t.Fatalf("%t, %v", more, err)
		}
		go func() { write(t, w, chunk{Stdout, 1, "a\n"}) }()
		if e, err := r.Next(t.Context()); err != nil || string(e.Line) != "a" {
			t.Errorf("tail %d: %q, %v", tail, e.Line, err)
		}
	}
}

// TestNotDamaged: frames that came after the reader had looked are no damage.
func TestNotDamaged(t *testing.T) {
	dir, w := newLog(t, WriterOptions{}, chunk{Stdout, 1, "a\n"})
	r, err := Open(dir, ReadOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if more, err := r.nextFrame(); more || err != nil {
		t.Fatalf("%v, %v", more, err)
	}
	write(t, w, chunk{Stdout, 2, "b\n"})
	write(t, w, chunk{Stdout, 3, "c\n"})
	r.resync()
	for _, want := range []string{"b", "c"} {
		if e, err := r.Next(t.Context()); err != nil || string(e.Line) != want {
			t.Errorf("%q, %v", e.Line, err)
		}
	}
}

func TestFollowEnds(t *testing.T) {
	dir, _ := newLog(t, WriterOptions{}, chunk{Stdout, 1, "a\n"})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Open(dir, ReadOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(ctx); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	u, err := Open(dir, ReadOptions{Follow: true, Tail: -1, Until: time.Now().Add(5 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("until: %v", err)
	}
}

// TestFull writes to a device that is full: the writer stays usable.
func TestFull(t *testing.T) {
	dir, w := newLog(t, WriterOptions{}, chunk{Stdout, 1, "a\n"})
	keep := w.f
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.f = full
	if err := w.Append(Stdout, time.Unix(2, 0), make([]byte, 40), 10); err == nil {
		t.Error("a full disk is no error")
	}
	w.f = keep
	_ = full.Close()
	write(t, w, chunk{Stdout, 3, "c\n"})
	if got := show(t, dir, ReadOptions{}); !slices.Equal(got, []string{"1@1 a", "1@3 …c"}) && !slices.Equal(got, []string{"1@1 a", "1@3 c"}) {
		t.Errorf("%q", got)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	_, w := newLog(t, WriterOptions{MaxSize: 1 << 30})
	buf := make([]byte, 1000+overhead)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { _ = w.Append(Stdout, now, buf, 1000) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
