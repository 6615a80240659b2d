package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	moby "github.com/moby/moby/client"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
)

// stock is Docker's own client of the daemon.
func stock(t *testing.T, d *engine.Daemon) *moby.Client {
	t.Helper()
	c, err := moby.New(moby.WithHost(d.Host()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// execIn runs a command in a container and returns its output and exit code.
func execIn(ctx context.Context, c *moby.Client, id string, cmd ...string) (string, int, error) {
	x, err := c.ExecCreate(ctx, id, moby.ExecCreateOptions{Cmd: cmd, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", 0, err
	}
	conn, err := c.ExecAttach(ctx, x.ID, moby.ExecAttachOptions{})
	if err != nil {
		return "", 0, err
	}
	defer conn.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, conn.Reader); err != nil {
		return "", 0, err
	}
	ended, err := c.ExecInspect(ctx, x.ID, moby.ExecInspectOptions{})
	if err != nil {
		return "", 0, err
	}
	if ended.Running {
		return "", 0, fmt.Errorf("exec %s runs after its end was told", x.ID)
	}
	return out.String(), ended.ExitCode, nil
}

// settled is the state of an engine without its links: how many it has ready
// for the next containers changes by itself. Those that are left when the daemon
// has ended are found at the end of the test.
func settled(t *testing.T, d *engine.Daemon) leak.State {
	t.Helper()
	s := engineState(t, d)
	s["link"] = slices.DeleteFunc(s["link"], func(name string) bool { return strings.HasPrefix(name, "veth") })
	return s
}

// TestThousandExecs leave nothing behind: not in the monitor, not in the
// daemon, not on the host.
func TestThousandExecs(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	taken(t, d)
	restocked(t, d)
	before := settled(t, d)
	must(t, d, "berth", "run", "-d", "--name", "box", "busybox", "sleep", "1000")
	c := stock(t, d)
	run := func(count int) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range count / 4 {
					n := rand.IntN(100)
					out, code, err := execIn(t.Context(), c, "box", "sh", "-c", fmt.Sprintf("echo %d; exit %d", n, n))
					if err != nil || code != n || out != fmt.Sprintln(n) {
						t.Errorf("%q, %d instead of %d, %v", out, code, n, err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	run(40) // what is made once
	daemon := files(t, d.Pid())
	run(1000)
	eventually(t, "the daemon to close what it opened", func() []string {
		if now := files(t, d.Pid()); now > daemon {
			return []string{fmt.Sprintf("%d descriptors, then %d", daemon, now)}
		}
		return nil
	})
	if top := must(t, d, "berth", "top", "box", "-o", "pid"); strings.Count(top, "\n") != 2 {
		t.Errorf("processes are left:\n%s", top)
	}
	if ids := must(t, d, "berth", "inspect", "-f", "{{.ExecIDs}}", "box"); ids != "[]\n" {
		t.Errorf("exec instances are left: %s", ids)
	}
	must(t, d, "berth", "rm", "-f", "box")
	eventually(t, "nothing to be left behind", func() []string { return leak.Diff(before, settled(t, d)) })
}

func files(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestExecRaces: commands are run while their container is stopped, removed
// and started again. Each of them either runs to an end or is refused in words;
// none hangs, and nothing is left.
func TestExecRaces(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	taken(t, d)
	restocked(t, d)
	before := settled(t, d)
	c := stock(t, d)
	for _, end := range [][]string{{"stop", "-t", "0", "box"}, {"rm", "-f", "box"}, {"kill", "box"}, {"restart", "-t", "0", "box"}} {
		must(t, d, "berth", "run", "-d", "--name", "box", "busybox", "sleep", "1000")
		stop := make(chan struct{})
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				for {
					cmd := []string{"true"}
					if n%2 == 0 {
						cmd = []string{"sleep", "1000"} // ends with the container
					}
					_, code, err := execIn(t.Context(), c, "box", cmd...)
					switch {
					case errdefs.IsConflict(err), errdefs.IsNotFound(err):
					case err != nil && strings.HasSuffix(err.Error(), "received 404"): // the container went after the create
					case err != nil:
						t.Errorf("%s while %q: %v", cmd, end, err)
					case code != 0 && code != 137 && code != 126:
						t.Errorf("%s while %q: exit code %d", cmd, end, code)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for range 10 {
			if _, _, err := execIn(t.Context(), c, "box", "true"); err != nil {
				t.Error(err)
			}
		}
		must(t, d, append([]string{"berth"}, end...)...)
		close(stop)
		if end[0] == "restart" {
			must(t, d, "berth", "kill", "box") // the sleeps of the second run
		}
		all.Wait()
		if end[0] != "rm" {
			must(t, d, "berth", "rm", "-f", "box")
		}
	}
	eventually(t, "nothing to be left behind", func() []string { return leak.Diff(before, settled(t, d)) })
}

// TestExecBackPressure: a slow reader gets every byte, and the command waits
// for it.
func TestExecBackPressure(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "-d", "--name", "box", "busybox", "sleep", "1000")
	c := stock(t, d)
	x, err := c.ExecCreate(t.Context(), "box", moby.ExecCreateOptions{
		Cmd: []string{"sh", "-c", "yes 0123456789abcdef | head -c 20000000; echo end"}, AttachStdout: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.ExecAttach(t.Context(), x.ID, moby.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn.Reader, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if s, err := c.ExecInspect(t.Context(), x.ID, moby.ExecInspectOptions{}); err != nil || !s.Running {
		t.Errorf("it did not wait: %+v, %v", s, err)
	}
	n, err := io.Copy(io.Discard, conn.Reader)
	if err != nil || n < 20_000_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if s, err := c.ExecInspect(t.Context(), x.ID, moby.ExecInspectOptions{}); err != nil || s.Running || s.ExitCode != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, d, "berth", "rm", "-f", "box")
}
