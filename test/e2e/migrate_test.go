package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMigrate: what a real Docker engine left in its data-root goes on here.
func TestMigrate(t *testing.T) {
	for _, driver := range []string{"overlay2", "vfs"} {
		t.Run(driver, func(t *testing.T) { migrate(t, driver) })
	}
}

// rootOnTmpfs makes the folder for a data-root: overlayfs wants a file system
// that is no overlay itself.
func rootOnTmpfs(t *testing.T) (dir, data string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dk-") //nolint:usetesting // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data = filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o710); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	return dir, data
}

// privateDockerd runs Debian's Docker engine, without networks; stop ends it.
func privateDockerd(t *testing.T, dir, data, driver string) (sock string, stop func()) {
	t.Helper()
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		t.Fatalf("%v: tools/setup installs docker.io", err)
	}
	sock = "unix://" + filepath.Join(dir, "s")
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	daemon := exec.CommandContext(context.WithoutCancel(t.Context()), dockerd, "--data-root", data, "--exec-root", filepath.Join(dir, "exec"), "-H", sock,
		"--pidfile", filepath.Join(dir, "pid"), "--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver="+driver,
		"--registry-mirror", "http://"+hub.Addr, "--insecure-registry", hub.Addr)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait() // it says why it ended in its log
	}
	t.Cleanup(func() {
		if daemon.ProcessState == nil {
			stop()
		}
		if t.Failed() {
			_, _ = log.Seek(0, io.SeekStart)
			text, _ := io.ReadAll(log)
			t.Logf("dockerd: %s", text[max(0, len(text)-4000):])
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if exec.CommandContext(t.Context(), "docker", "-H", sock, "version").Run() == nil {
			return sock, stop
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer")
		}
	}
}

func migrate(t *testing.T, driver string) {
	dir, data := rootOnTmpfs(t)
	sock, stop := privateDockerd(t, dir, data, driver)
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "docker", append([]string{"-H", sock}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v\n%s", args, err, out)
		}
	}
	docker("pull", "-q", hub.Addr+"/library/busybox")
	docker("tag", hub.Addr+"/library/busybox", "busybox")
	docker("volume", "create", "--label", "a=b", "vol")
	docker("run", "--net=none", "--name", "layer", "-v", "vol:/vol", "busybox", "sh", "-c", "echo kept > /vol/f; echo new > /added; rm /bin/ls; rm -rf /var; mkdir /var; touch /var/z; ln /added /hard; chmod 4750 /hard")
	docker("commit", "-c", "LABEL made=here", "layer", "made:v1")
	docker("create", "--net=none", "--name", "c1", "-e", "A=b", "-l", "x=y", "-v", "vol:/d:ro", "-v", "/anon", "--memory", "64m", "made:v1", "sh", "-c", "cat /d/f /added; ls /var")
	docker("run", "--net=none", "--name", "c2", "made:v1", "sh", "-c", "rm /added; echo changed > /etc/new")

	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := client(t, d, "berth", "migrate", "--from-docker", data); err == nil || !strings.Contains(out, "Docker is running") {
		t.Errorf("%v %s", err, out)
	}
	stop()
	out := must(t, d, "berth", "migrate", "--from-docker", data)
	for _, want := range []string{"volume vol", "image made:v1", "container c1", "container c2", "container layer"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, tc := range [][]string{
		{"y 67108864 here", "docker", "inspect", "-f", "{{.Config.Labels.x}} {{.HostConfig.Memory}} {{.Config.Labels.made}}", "c1"},
		{"A=b", "docker", "inspect", "-f", "{{.Config.Env}}", "c1"},
		{"b", "docker", "volume", "inspect", "-f", "{{.Labels.a}}", "vol"},
		{"here", "docker", "image", "inspect", "-f", "{{.Config.Labels.made}}", "made:v1"},
		{"new", "berth", "run", "--rm", "made:v1", "cat", "/hard"},
		{"4750", "berth", "run", "--rm", "made:v1", "busybox", "stat", "-c", "%a", "/added"},
		{"D /added", "docker", "diff", "c2"},
		{"A /etc/new", "docker", "diff", "c2"},
		{"D /bin/ls", "docker", "diff", "layer"},
	} {
		if out := must(t, d, tc[1:]...); !strings.Contains(out, tc[0]) {
			t.Errorf("%q: %s, want %q", tc[1:], out, tc[0])
		}
	}
	if out, err := client(t, d, "berth", "run", "--rm", "made:v1", "ls", "/var/spool"); err == nil {
		t.Errorf("what was removed is there: %s", out)
	}
	if out := must(t, d, "sh", "-c", "docker start -a c1"); !strings.Contains(out, "kept\nnew") {
		t.Errorf("%q", out)
	}
	// Again: what is here is left alone.
	if out, err := client(t, d, "berth", "migrate", "--from-docker", data); err == nil || !strings.Contains(out, "already") {
		t.Errorf("%v %s", err, out)
	}
	must(t, d, "sh", "-c", "docker rm -v $(docker ps -aq)")
}
