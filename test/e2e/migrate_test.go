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
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		t.Fatalf("%v: tools/setup installs docker.io", err)
	}
	dir, err := os.MkdirTemp("", "dk-") //nolint:usetesting // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, sock := filepath.Join(dir, "data"), "unix://"+filepath.Join(dir, "s")
	if err := os.Mkdir(data, 0o710); err != nil {
		t.Fatal(err)
	}
	// overlay2 wants a file system that is no overlay itself.
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := exec.CommandContext(context.WithoutCancel(t.Context()), dockerd, "--data-root", data, "--exec-root", filepath.Join(dir, "exec"), "-H", sock,
		"--pidfile", filepath.Join(dir, "pid"), "--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=overlay2",
		"--registry-mirror", "http://"+hub.Addr, "--insecure-registry", hub.Addr)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait() // it says why it ended in its log
	}
	defer func() {
		if daemon.ProcessState == nil {
			stop()
		}
		if t.Failed() {
			_, _ = log.Seek(0, io.SeekStart)
			text, _ := io.ReadAll(log)
			t.Logf("dockerd: %s", text[max(0, len(text)-4000):])
		}
	}()
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "docker", append([]string{"-H", sock}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v\n%s", args, err, out)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if exec.CommandContext(t.Context(), "docker", "-H", sock, "version").Run() == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer")
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
		{"y 67108864 b", "docker", "inspect", "-f", "{{.Config.Labels.x}} {{.HostConfig.Memory}} {{.Config.Labels.made}}b", "c1"},
		{"A=b", "docker", "inspect", "-f", "{{.Config.Env}}", "c1"},
		{"b", "docker", "volume", "inspect", "-f", "{{.Labels.a}}", "vol"},
		{"here", "docker", "image", "inspect", "-f", "{{.Config.Labels.made}}", "made:v1"},
		{"new", "berth", "run", "--rm", "made:v1", "cat", "/hard"},
		{"4750", "berth", "run", "--rm", "made:v1", "busybox", "stat", "-c", "%a", "/added"},
		{"D /added", "docker", "diff", "c2"},
		{"A /etc/new", "docker", "diff", "c2"},
		{"D /bin/ls", "docker", "diff", "layer"},
	} {
		if out := must(t, d, tc[1:]...); !strings.Contains(out, strings.Fields(tc[0])[0]) {
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
