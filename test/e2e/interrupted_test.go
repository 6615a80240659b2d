package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/test/engine"
)

// interrupt starts a client, ends it as Ctrl-C does once ready says so, and returns
// its output and exit status.
func interrupt(t *testing.T, d *engine.Daemon, ready func() bool, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/bin/env", append(d.Environ(), args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pull to be under way", func() []string {
		if ready() {
			return nil
		}
		return []string{"it is not"}
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status tells
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestInterruptedPull gives up pulls by Ctrl-C, by the stock client and by Berth's: they
// end alike, what has come counts, is not sent again, and goes with a prune of all.
func TestInterruptedPull(t *testing.T) {
	d := started(t)
	r := newRegistry(t, 16<<20)
	var stall atomic.Bool
	var from atomic.Value
	r.hook = func(w http.ResponseWriter, req *http.Request, dg digest.Digest, data []byte) bool {
		if dg != r.layer {
			return false
		}
		from.Store(req.Header.Get("Range"))
		if !stall.Load() {
			return false
		}
		start := 0
		_, _ = fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &start)
		if start > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)-start))
		if start > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(data[start : start+4<<20])
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		return true
	}
	come := func() (n int64) {
		files, err := filepath.Glob(filepath.Join(d.DataRoot(), "image", "content", "ingest", "*", "data"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if info, err := os.Stat(path); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	size := func() string {
		return strings.TrimSpace(must(t, d, "sh", "-c", "docker system df --format '{{.Type}} {{.Size}}' | sed -n 's/^Images //p'"))
	}
	must(t, d, "docker", "pull", "-q", "hello-world") // makes the store's folders
	must(t, d, "docker", "rmi", "-f", "hello-world")
	before := idle(t, d)

	for n, name := range []string{"docker", "berth"} {
		stall.Store(true)
		want := int64(4*n+3) << 20
		out, status := interrupt(t, d, func() bool { return come() >= want }, name, "pull", r.name())
		if status != 130 || strings.Contains(strings.ToLower(out), "error") || !strings.Contains(out, "Pulling fs layer") {
			t.Errorf("%s ends with %d:\n%s", name, status, out)
		}
		eventually(t, "what has come to count", func() []string {
			if s := size(); strings.HasSuffix(s, "MB") {
				return nil
			}
			return []string{size()}
		})
	}
	stall.Store(false)
	must(t, d, "berth", "pull", r.name())
	if s, _ := from.Load().(string); !strings.HasPrefix(s, "bytes=") || s == "bytes=0-" {
		t.Errorf("the last pull asks for %q of the layer", s)
	}
	must(t, d, "docker", "rmi", r.name())

	for _, prune := range [][]string{{"docker", "system", "prune", "-af"}, {"berth", "image", "prune", "-af"}} {
		stall.Store(true)
		_, _ = interrupt(t, d, func() bool { return come() >= 3<<20 }, "docker", "pull", r.name())
		eventually(t, "the pull to have ended", func() []string {
			if strings.HasSuffix(size(), "MB") {
				return nil
			}
			return []string{size()}
		})
		if out := must(t, d, prune...); strings.Contains(out, "Total reclaimed space: 0B") || !strings.Contains(out, "Total reclaimed space: ") {
			t.Errorf("%q frees nothing:\n%s", prune, out)
		}
		if s := size(); s != "0B" {
			t.Errorf("after %q images take %s", prune, s)
		}
	}
	noLeak(t, d, before)
}
