package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/container/logs/driver"
	"github.com/berth-engine/berth/sandbox/logblock"
)

// talker writes numbered lines.
type talker struct {
	t   *testing.T
	w   *logblock.Writer
	buf [logblock.HeaderSize + logblock.MaxData + logblock.TrailerSize]byte
	n   int
}

func newTalker(t *testing.T, dir string, o logblock.WriterOptions) *talker {
	w, err := logblock.NewWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return &talker{t: t, w: w}
}

func (a *talker) say(lines int) {
	a.t.Helper()
	for range lines {
		a.n++
		n := copy(a.buf[logblock.HeaderSize:], fmt.Sprintf("line %d\n", a.n))
		if err := a.w.Append(logblock.Stdout, time.Now(), a.buf[:], n); err != nil {
			a.t.Error(err)
		}
	}
}

// numbers reads what a json-file says.
func numbers(t *testing.T, dir string) []int {
	t.Helper()
	data, err := os.ReadFile(driver.JSONPath(dir, "c1"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []int
	for line := range strings.Lines(string(data)) {
		var m struct{ Log string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscanf(m.Log, "line %d\n", &n); err != nil {
			t.Fatalf("%q: %v", m.Log, err)
		}
		all = append(all, n)
	}
	return all
}

func complete(t *testing.T, got []int, upTo int) {
	t.Helper()
	if len(got) != upTo {
		t.Fatalf("%d lines instead of %d", len(got), upTo)
	}
	for i, n := range got {
		if n != i+1 {
			t.Fatalf("line %d is %d", i+1, n)
		}
	}
}

// TestShipmentGoesOn: killed anywhere, the next one goes on without a gap and
// without a double.
func TestShipmentGoesOn(t *testing.T) {
	dir, blocks := t.TempDir(), t.TempDir()
	talk := newTalker(t, blocks, logblock.WriterOptions{MaxSize: 4096, MaxFiles: 1000})
	shipment := func(done chan struct{}) *Shipment {
		return &Shipment{
			Dir: blocks, State: filepath.Join(dir, "state"), Driver: "json-file", Done: done, Log: slog.New(slog.DiscardHandler),
			Info: &driver.Info{ID: "c1", Dir: dir},
		}
	}
	for round := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		s := shipment(make(chan struct{}))
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		talk.say(10 + 17*round)
		if round%2 == 0 { // as if it was killed: what was written after the last note counts as not written
			before, _ := os.ReadFile(s.State)
			cancel()
			running.Wait()
			if before == nil {
				_ = os.Remove(s.State)
			} else if err := os.WriteFile(s.State, before, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		cancel()
		running.Wait()
	}
	if !Pending(blocks, filepath.Join(dir, "state")) && len(numbers(t, dir)) != talk.n {
		t.Error("nothing is pending?")
	}
	done := make(chan struct{})
	close(done)
	if err := Pack(blocks); err != nil {
		t.Fatal(err)
	}
	if err := shipment(done).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	complete(t, numbers(t, dir), talk.n)
	if Pending(blocks, filepath.Join(dir, "state")) {
		t.Error("something is pending")
	}
}

// TestBlocking: a log that is being delivered is not rotated away; whoever
// writes waits.
func TestBlocking(t *testing.T) {
	blocks := t.TempDir()
	hold, err := logblock.NewHold(blocks, 0)
	if err != nil {
		t.Fatal(err)
	}
	talk := newTalker(t, blocks, logblock.WriterOptions{MaxSize: 2048, MaxFiles: 2})
	written := make(chan struct{})
	go func() {
		defer close(written)
		talk.say(500)
	}()
	dir := t.TempDir()
	select {
	case <-written:
		t.Fatal("nobody waited")
	case <-time.After(100 * time.Millisecond): // it waits; a fast test is no worse for it
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	// Between the two holders lines may be lost; begin anew with a holder.
	<-written
	blocks = t.TempDir()
	done := make(chan struct{})
	s := &Shipment{
		Dir: blocks, State: filepath.Join(dir, "state"), Driver: "json-file", Done: done, Log: slog.New(slog.DiscardHandler),
		Info: &driver.Info{ID: "c1", Dir: dir},
	}
	ready, err := logblock.NewHold(blocks, 0) // until the shipment has its own
	if err != nil {
		t.Fatal(err)
	}
	_ = ready.Close()
	talk = newTalker(t, blocks, logblock.WriterOptions{MaxSize: 2048, MaxFiles: 2})
	talk.say(1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for len(numbers(t, dir)) == 0 { // it runs and holds
		time.Sleep(time.Millisecond)
	}
	talk.say(2000)
	close(done)
	running.Wait()
	complete(t, numbers(t, dir), talk.n)
}

// TestNonBlocking: what does not fit is left out, and the writer never waits.
func TestNonBlocking(t *testing.T) {
	dir, blocks := t.TempDir(), t.TempDir()
	talk := newTalker(t, blocks, logblock.WriterOptions{MaxSize: 1 << 20, MaxFiles: 2})
	talk.say(50000)
	done := make(chan struct{})
	close(done)
	s := &Shipment{
		Dir: blocks, State: filepath.Join(dir, "state"), Driver: "json-file", Done: done, Log: slog.New(slog.DiscardHandler),
		Info: &driver.Info{ID: "c1", Dir: dir, Options: map[string]string{"mode": "non-blocking", "max-buffer-size": "16k"}},
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, dir); len(got) != lookEvery {
		t.Errorf("%d lines were delivered", len(got))
	}
}

// TestPack: a packed log reads as it did before, from either end.
func TestPack(t *testing.T) {
	blocks := t.TempDir()
	talk := newTalker(t, blocks, logblock.WriterOptions{MaxSize: 1 << 20, MaxFiles: 10})
	talk.say(60000)
	read := func(o Options) string {
		t.Helper()
		var b strings.Builder
		o.Stdout = true
		if err := Copy(t.Context(), blocks, o, &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	all, tail := read(Options{Tail: -1, Timestamps: true}), read(Options{Tail: 50000})
	before := usage(t, blocks)
	if err := Pack(blocks); err != nil {
		t.Fatal(err)
	}
	if after := usage(t, blocks); after >= before {
		t.Errorf("%d bytes became %d", before, after)
	}
	if read(Options{Tail: -1, Timestamps: true}) != all || read(Options{Tail: 50000}) != tail {
		t.Error("it reads differently")
	}
	files, _ := filepath.Glob(filepath.Join(blocks, "*"))
	for _, f := range files[:1] { // damage is skipped, or an error; never a crash
		if err := os.Truncate(f, 1000); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	_ = Copy(t.Context(), blocks, Options{Stdout: true, Tail: -1}, &b)
}

func usage(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}
