// Package systemd uses the Debian package as its users do, on a host whose
// process 1 is systemd, as root: the package is installed there, its service is
// restarted, killed, upgraded and removed. That host is the machine of
// make test-vm, which is thrown away afterwards: never run this on your own.
package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
	"github.com/berth-engine/berth/test/story"
)

// TestService runs the stories in testdata. The commands code and output are
// those of package story. $BIN is the folder of what was built, with the
// package berth.deb, and $HUB a Hub with busybox and hello-world.
func TestService(t *testing.T) {
	if !cgroup.Systemd() || os.Getenv("BERTH_TEST_MACHINE") == "" {
		t.Skip("installs the package: for a machine with systemd that is thrown away, which says BERTH_TEST_MACHINE=1")
	}
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bs-") //nolint:usetesting // the Hub writes there until the end
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	hub, err := engine.StartHub(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := hub.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := engine.PushBusybox(t.Context(), hub); err != nil {
		t.Fatal(err)
	}
	deadline, _ := t.Deadline() // a program that hangs is ended before, and what it said is told
	testscript.RunT(story.T{T: t}, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Deadline:            deadline,
		Setup: func(env *testscript.Env) error {
			s := env.T().(story.T).T
			before := state(s)
			env.Defer(func() {
				if s.Failed() {
					journal(s)
				}
				remove(s)
				settle(s, before)
			})
			env.Vars = append(env.Vars, "BIN="+bin, "HUB="+hub.Addr, "HOME="+env.WorkDir, "TERM=xterm",
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER="+filepath.Join(bin, "docker"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": story.Code, "output": story.Output},
	})
}

func state(t *testing.T) leak.State {
	t.Helper()
	s, err := leak.Read(context.Background(), []string{"/etc/systemd", "/usr/bin", "/usr/lib/systemd/system"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settle waits until the host looks as before.
func settle(t *testing.T, before leak.State) {
	var diff []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		diff = slices.DeleteFunc(leak.Diff(before, state(t)), func(d string) bool { return strings.HasPrefix(d, "- cgroup") }) // others end, too
		if len(diff) == 0 {
			return
		}
	}
	t.Errorf("left behind:\n%s", strings.Join(diff, "\n"))
}

// remove takes what a story that failed has left.
func remove(t *testing.T) {
	const script = `! command -v berth >/dev/null || { berth ps -aq | xargs -r berth rm -f; dpkg -P berth; }
rm -rf /etc/berth /var/lib/berth /run/berth*; systemctl daemon-reload`
	if out, err := exec.CommandContext(context.Background(), "sh", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("remove the package: %v\n%s", err, out)
	}
}

func journal(t *testing.T) {
	out, err := exec.CommandContext(context.Background(), "journalctl", "--no-pager", "-n", "100", "-u", "berth.service", "-u", "berth.socket").CombinedOutput()
	t.Log(fmt.Sprint("the journal:\n", string(out), err))
}
