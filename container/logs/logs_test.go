package logs

import (
	"bytes"
	"testing"
	"time"

	"github.com/berth-engine/berth/sandbox/logblock"
)

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	w, err := logblock.NewWriter(dir, logblock.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for i, text := range []string{"one\n", "two\nthr", "ee\nend"} {
		buf := make([]byte, 64+len(text))
		copy(buf[logblock.HeaderSize:], text)
		stream := logblock.Stdout
		if i == 0 {
			stream = logblock.Stderr
		}
		if err := w.Append(stream, at.Add(time.Duration(i)*time.Second), buf, len(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Stdout: true, Stderr: true, Tail: -1}, "one\ntwo\nthree\nend"},
		{Options{Stdout: true, Tail: -1}, "two\nthree\nend"},
		{Options{Stdout: true, Stderr: true, Tail: 1}, "end"},
		{Options{Stdout: true, Stderr: true, Tail: 0}, ""},
		{Options{Tail: -1}, ""},
		{Options{Stderr: true, Tail: -1, Framed: true}, "\x02\x00\x00\x00\x00\x00\x00\x04one\n"},
		{Options{Stderr: true, Tail: -1, Timestamps: true, Details: map[string]string{"b": "x y", "a": "1"}}, "2026-01-02T03:04:05.000000006Z a=1,b=x+y one\n"},
		{Options{Stdout: true, Stderr: true, Tail: -1, Until: at}, "one\n"},
	} {
		var b bytes.Buffer
		if err := Copy(t.Context(), dir, c.o, &b); err != nil || b.String() != c.want {
			t.Errorf("%+v: %q, %v; want %q", c.o, b.String(), err, c.want)
		}
	}
}
