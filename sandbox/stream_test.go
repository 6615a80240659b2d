package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/sandbox/logblock"
)

const flood = 100 << 20

// want is the hash of what "guest spew" writes.
func want(n int) string {
	h := sha256.New()
	buf := make([]byte, 0, 1<<16)
	for i := range n {
		c := byte(i*7 + i>>8*13 + i>>16*17)
		if i%100 == 99 {
			c = '\n'
		}
		if buf = append(buf, c); len(buf) == cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	return sum(h)
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// TestFlood sends 100 MB to a reader that reads in small pieces, one that
// copies raw, and one that stops and leaves; the log keeps it all too.
func TestFlood(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "flood", "spew", fmt.Sprint(flood))
	b.LogMaxSize, b.LogMaxFiles = 10<<20, 100
	s := r.launch(t, b)
	slow, raw, stalled := s.attachTest(t, both), s.attachTest(t, both), s.attachTest(t, both)
	s.startTest(t)
	go func() {
		_, _, _ = stalled.Next() // and no more, until the others wait for it
		_ = stalled.Close()
	}()
	hashes := make(chan string, 2)
	go func() {
		h := sha256.New()
		for {
			_, data, err := slow.Next()
			if err != nil {
				hashes <- sum(h) + errText(err)
				return
			}
			for len(data) > 0 {
				n := min(len(data), 1000)
				h.Write(data[:n])
				data = data[n:]
			}
		}
	}()
	go func() {
		pr, pw := io.Pipe()
		go func() {
			_, err := raw.WriteTo(pw)
			_ = pw.CloseWithError(err)
		}()
		h := sha256.New()
		err := deframe(h, pr)
		hashes <- sum(h) + errText(err)
	}()
	w := want(flood)
	for range 2 {
		if got := <-hashes; got != w {
			t.Errorf("hash %s; want %s", got, w)
		}
	}
	if e := s.waitTest(t); e.Code != 0 {
		t.Errorf("%+v", e)
	}
	if got := logHash(t, b.LogDir); got != w {
		t.Errorf("log hash %s; want %s", got, w)
	}
}

func errText(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return ""
	}
	return " " + err.Error()
}

// deframe undoes Docker's stream format.
func deframe(w io.Writer, r io.Reader) error {
	var head [frameHead]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := int64(head[4])<<24 | int64(head[5])<<16 | int64(head[6])<<8 | int64(head[7])
		if _, err := io.CopyN(w, r, n); err != nil {
			return err
		}
	}
}

func logHash(t *testing.T, dir string) string {
	r, err := logblock.Open(dir, logblock.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return sum(h)
		}
		if err != nil {
			t.Fatal(err)
		}
		h.Write(e.Line)
		if !e.Partial {
			h.Write([]byte{'\n'})
		}
	}
}

// TestBackPressure: a reader that stalls makes the container wait, and the end
// of the container does not wait for the reader, who gets the rest all the
// same.
func TestBackPressure(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "pressure", "spew", fmt.Sprint(flood))
	b.LogDir = ""
	s := r.launch(t, b)
	st := s.attachTest(t, both)
	s.startTest(t)
	for written(t, s.Pid()) < window {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	// It cannot end: nobody reads.
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := s.waitTest(t); e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	out, _ := output(t, st)
	if len(out) < window || len(out) > 2<<20 {
		t.Errorf("%d bytes under way", len(out))
	}
	h := sha256.New()
	h.Write([]byte(out))
	if sum(h) != want(len(out)) {
		t.Error("not what was written")
	}
}

// window is what a monitor holds for a stalled client at least.
const window = 256 << 10

// written is how many bytes a process has written.
func written(t *testing.T, pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			i, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
	}
	return 0
}

// TestReadersLeave: readers that come and go, some in the middle of reading,
// leave nothing in the monitor and do not stop the container.
func TestReadersLeave(t *testing.T) {
	r := newRuntime(t, Options{Calm: -1}) // a rest changes what it has open
	b := bundle(t, "leave", "cat")
	b.OpenStdin = true
	s := r.launch(t, b)
	s.startTest(t)
	in := s.attachTest(t, AttachOptions{Stdin: true})
	line := bytes.Repeat([]byte("x"), 9999)
	if _, err := in.Write(line); err != nil {
		t.Fatal(err)
	}
	said(t, b)
	before := descriptors(t, s.process.pid)
	for i := range 300 {
		st := s.attachTest(t, AttachOptions{Stdin: i%2 == 0, Stdout: true, Stderr: true})
		if _, err := in.Write(line); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if _, _, err := st.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 0 {
			if err := st.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	last := s.attachTest(t, both)
	if _, err := in.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	for {
		_, data, err := last.Next()
		if err != nil {
			t.Fatal(err)
		}
		if data[len(data)-1] == '!' {
			break
		}
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	// The monitor notices a moment later that they left.
	for descriptors(t, s.process.pid) > before {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}
