package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// TestQuota: on file systems with project quotas, a volume with a size and a
// container with --storage-opt size hold what they were given and no more, also
// after a restart of the daemon.
func TestQuota(t *testing.T) {
	list := os.Getenv("BERTH_TEST_QUOTA")
	if list == "" {
		t.Skip("no file system with project quotas: BERTH_TEST_QUOTA is not set")
	}
	for root := range strings.SplitSeq(list, ":") {
		t.Run(filepath.Base(root), func(t *testing.T) {
			t.Setenv("TMPDIR", root) // where newDaemon keeps its data
			quotaStory(t)
		})
	}
}

func quotaStory(t *testing.T) {
	d := newDaemon(t, "--storage-opt", "overlay2.size=12m")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	must(t, d, "docker", "volume", "create", "--opt", "size=8m", "small")
	must(t, d, "docker", "create", "--name", "boxed", "--storage-opt", "size=8m", "-v", "small:/small", "busybox", "sleep", "100000")
	must(t, d, "docker", "start", "boxed")
	full(t, d, "/small/f")
	full(t, d, "/f")
	for _, dir := range []string{"/", "/small"} {
		if out := must(t, d, "docker", "exec", "boxed", "sh", "-c", "df -k "+dir+" | awk 'END {print $2}'"); out != "8192\n" {
			t.Errorf("df %s says %s", dir, out)
		}
	}
	if out := must(t, d, "docker", "volume", "inspect", "-f", "{{.Status.Limit}}", "small"); !strings.HasPrefix(out, "8.388608e+06") && out != "8388608\n" {
		t.Errorf("inspect: %s", out)
	}
	if out := must(t, d, "berth", "system", "df", "-v"); !strings.Contains(out, "LIMIT") || !strings.Contains(out, "8.389MB") {
		t.Errorf("df -v: %s", out)
	}
	must(t, d, "docker", "run", "-d", "--name", "default", "busybox", "sleep", "100000")
	if out := must(t, d, "docker", "exec", "default", "sh", "-c", "df -k / | awk 'END {print $2}'"); out != "12288\n" {
		t.Errorf("without a size of its own, df says %s", out)
	}
	must(t, d, "docker", "rm", "-f", "default")
	// Both are full, so nothing can be written after a restart either.
	must(t, d, "berth", "volume", "snapshot", "small", "filled")
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	full(t, d, "/small/g")
	full(t, d, "/g")
	must(t, d, "docker", "exec", "boxed", "rm", "-f", "/small/f", "/small/g")
	// XFS frees in the background.
	must(t, d, "docker", "exec", "boxed", "timeout", "20", "sh", "-c", "until dd if=/dev/zero of=/small/h bs=64k count=16; do :; done")
	must(t, d, "docker", "stop", "-t", "0", "boxed")
	must(t, d, "berth", "volume", "restore", "small", "filled")
	must(t, d, "docker", "start", "boxed")
	full(t, d, "/small/g")
	must(t, d, "docker", "rm", "-f", "boxed")
	must(t, d, "docker", "volume", "rm", "small")
	if out, err := client(t, d, "docker", "create", "--storage-opt", "inodes=8", "busybox"); err == nil || !strings.Contains(out, "Unknown option inodes") {
		t.Errorf("%v: %s", err, out)
	}
	noLeak(t, d, before)
}

// full writes to a file until the container or the volume is full, and fails
// unless that is before 8 MiB.
func full(t *testing.T, d *engine.Daemon, path string) {
	t.Helper()
	out, err := client(t, d, "docker", "exec", "boxed", "dd", "if=/dev/zero", "of="+path, "bs=64k", "count=256", "conv=fsync")
	if err == nil || !strings.Contains(out, "No space left") && !strings.Contains(strings.ToLower(out), "quota exceeded") {
		t.Errorf("%s: 16 MiB were written: %v, %s", path, err, out)
	}
}
