package build

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestEndlessReferences: a server that names references without end is left before
// git has filled the host's memory with them.
func TestEndlessReferences(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/info/refs") {
			http.NotFound(w, r)
			return
		}
		line := []byte(strings.Repeat("0", 39) + "1\trefs/heads/" + strings.Repeat("x", 100) + "\n")
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	remote := server.URL + "/endless.git"
	began := 0
	c := cloning{bound: bound{1 << 30, time.Minute}, memory: 32 << 20, look: time.Millisecond}
	err := c.watched(t.Context(), remote+"#main", func(ctx context.Context) error {
		// As BuildKit runs it: in a process group, which ends with the context.
		cmd := exec.CommandContext(t.Context(), "git", "ls-remote", remote)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		began = cmd.Process.Pid
		defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-began, syscall.SIGKILL) })()
		return cmd.Wait()
	})
	if began == 0 || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "clone "+remote+": git takes more than 32MiB of memory") {
		t.Errorf("%d: %v", began, err)
	}
}
