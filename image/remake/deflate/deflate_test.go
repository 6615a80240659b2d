package deflate

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"testing"
)

// samples are what decides about blocks: text, nothing but one byte, noise, all of
// them, lengths around the window's, and little.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	words := make([]byte, 0, 500_000)
	for len(words) < 500_000 {
		words = fmt.Appendf(words, "%d %x\n", random.IntN(3000), random.IntN(1<<random.IntN(30)))
	}
	skewed := make([]byte, 200_000) // with codes that are too long
	for i := range skewed {
		skewed[i] = byte(random.ExpFloat64() * 12)
	}
	mixed := bytes.Join([][]byte{words[:100_000], noise[:70_000], make([]byte, 90_000), words[:300_000], skewed}, nil)
	list := map[string][]byte{
		"words": words, "noise": noise, "zeros": make([]byte, 200_000), "skewed": skewed, "mixed": mixed, "nothing": {}, "a byte": {'x'}, "two": []byte("xx"),
	}
	for _, n := range []int{3, 4, 257, 258, 259, 262, 32767, 32768, 65273, 65274, 65275, 65276, 65400, 65535, 65536, 65537, 98304, 98305} {
		list[fmt.Sprint(n, " of words")] = words[1000 : 1000+n]
		list[fmt.Sprint(n, " of zeros")] = make([]byte, n)
	}
	return list
}

func compress(t testing.TB, data []byte, d Dialect, level, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, d, level)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n := min(piece, len(data))
		if m, err := w.Write(data[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGNU compares with the gzip of this machine, level by level.
func TestGNU(t *testing.T) {
	for name, data := range samples() {
		for level := 1; level <= 9; level++ {
			cmd := exec.CommandContext(t.Context(), "gzip", "-nc", fmt.Sprint("-", level))
			cmd.Stdin = bytes.NewReader(data)
			want, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			got := compress(t, data, GNU, level, 10_000)
			if want = want[10 : len(want)-8]; !bytes.Equal(got, want) {
				t.Errorf("%s, level %d: %d bytes, not %d; they differ from %d on", name, level, len(got), len(want), differ(got, want))
			}
		}
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// zlibProgram compresses what it reads by each level, each with its length before it.
const zlibProgram = `use Compress::Raw::Zlib;
local $/; binmode STDIN; binmode STDOUT; my $data = <STDIN>;
for my $level (1..9) {
	my $z = Compress::Raw::Zlib::Deflate->new(-Level => $level, -WindowBits => -15, -MemLevel => 8, -AppendOutput => 1);
	my $out = ""; $z->deflate($data, $out); $z->flush($out);
	print pack("N", length $out), $out;
}`

// TestZlib compares with the zlib that this machine's Perl has.
func TestZlib(t *testing.T) {
	for name, data := range samples() {
		cmd := exec.CommandContext(t.Context(), "perl", "-e", zlibProgram)
		cmd.Stdin = bytes.NewReader(data)
		all, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for level := 1; level <= 9; level++ {
			n := binary.BigEndian.Uint32(all)
			want := all[4 : 4+n]
			all = all[4+n:]
			if got := compress(t, data, Zlib, level, 10_000); !bytes.Equal(got, want) {
				t.Errorf("%s, level %d: %d bytes, not %d; they differ from %d on", name, level, len(got), len(want), differ(got, want))
			}
		}
	}
}

// TestPieces: how data is cut into pieces does not matter, and what is compressed
// can be inflated.
func TestPieces(t *testing.T) {
	for name, data := range samples() {
		for _, d := range []Dialect{Zlib, GNU} {
			packed := compress(t, data, d, 1, len(data)+1)
			if !bytes.Equal(packed, compress(t, data, d, 1, 777)) {
				t.Errorf("%s, by %d: the pieces matter", name, d)
			}
			got, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, by %d: %v", name, d, err)
			}
		}
	}
}

// TestFailedWrite: an error of what is written to is told, at the end at the latest.
func TestFailedWrite(t *testing.T) {
	r, pipe := io.Pipe()
	r.Close()
	w, err := NewWriter(pipe, Zlib, 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(samples()["noise"]); err != io.ErrClosedPipe {
		t.Errorf("write: %v", err)
	}
	if err := w.Close(); err != io.ErrClosedPipe {
		t.Errorf("close: %v", err)
	}
	for _, level := range []int{-1, 0, 10} {
		if _, err := NewWriter(pipe, Zlib, level); err == nil {
			t.Errorf("level %d is taken", level)
		}
	}
}

// FuzzInflates: what is compressed can be inflated.
func FuzzInflates(f *testing.F) {
	f.Add([]byte("some words, some words"), uint8(6), true)
	f.Fuzz(func(t *testing.T, data []byte, level uint8, zlib bool) {
		d := GNU
		if zlib {
			d = Zlib
		}
		data = bytes.Repeat(data, 1+int(level)*100)
		packed := compress(t, data, d, 1+int(level)%9, 5000)
		if got, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed))); err != nil || !bytes.Equal(got, data) {
			t.Error(err)
		}
	})
}
