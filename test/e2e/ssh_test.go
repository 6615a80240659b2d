package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// sshServer is a real sshd on loopback which lets one key in, and a folder with an
// ssh that uses the key.
type sshServer struct{ addr, path string }

func startSSH(t *testing.T, d *engine.Daemon) sshServer {
	t.Helper()
	dir, ctx := t.TempDir(), context.WithoutCancel(t.Context())
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, mode os.FileMode, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range []string{"host", "user", "stranger"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	// What a package installs beside the engine for clients of Docker.
	if err := os.Mkdir(filepath.Join(dir, "remote"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"berth": "berth", "docker": "berth"} {
		if err := os.Symlink(filepath.Join(bin, target), filepath.Join(dir, "remote", name)); err != nil {
			t.Fatal(err)
		}
	}
	config := write("sshd_config", 0o600, fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nSetEnv PATH=%s/remote:/usr/bin:/bin\n", port, dir, dir, dir))
	known, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := write("known_hosts", 0o600, "[127.0.0.1]:"+port+" "+string(known))
	for folder, key := range map[string]string{"local": "user", "strange": "stranger"} {
		write(folder+"/ssh", 0o700, fmt.Sprintf("#!/bin/sh\nexec /usr/bin/ssh -F none -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=%s -i %s/%s \"$@\"\n", hosts, dir, key))
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it shuts itself in
		t.Fatal(err)
	}
	server := exec.CommandContext(ctx, "/usr/sbin/sshd", "-D", "-e", "-f", config)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("sshd: %s", tail(string(text), 30))
		}
	})
	eventually(t, "sshd listens", func() []string {
		text, err := os.ReadFile(log.Name())
		if err == nil && strings.Contains(string(text), "listening") {
			return nil
		}
		return []string{string(text)}
	})
	return sshServer{"ssh://root@127.0.0.1:" + port + d.Socket, dir}
}

// TestSSH: the engine is reached over a real sshd, by berth and by the stock
// client, whose own remote end is berth called docker.
func TestSSH(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	s := startSSH(t, d)
	with := func(folder, addr, line string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", line)
		cmd.Env = append(d.Environ(), "HOME="+t.TempDir(), "DOCKER_HOST="+addr, "BERTH_HOST="+addr)
		for i, e := range cmd.Env {
			if path, ok := strings.CutPrefix(e, "PATH="); ok {
				cmd.Env[i] = "PATH=" + filepath.Join(s.path, folder) + ":" + path
			}
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, client := range []string{"berth", "docker"} {
		for line, want := range map[string]string{
			client + " version -f '{{.Server.Platform.Name}}'":                                      "Berth Engine\n",
			client + " run --rm busybox echo over":                                                  "over\n",
			"head -c 3000000 /dev/zero | " + client + " run -i --rm busybox sha256sum":              "",
			client + " run --rm busybox sh -c 'exit 7'; echo $?":                                    "7\n",
			client + " run --name far -d busybox sleep 1000 >/dev/null && " + client + " rm -f far": "far\n",
			client + " run --rm busybox head -c 3000000 /dev/zero | wc -c":                          "3000000\n",
		} {
			if strings.Contains(line, "sha256sum") {
				sum, err := exec.CommandContext(t.Context(), "sh", "-c", "head -c 3000000 /dev/zero | sha256sum").Output()
				if err != nil {
					t.Fatal(err)
				}
				want = string(sum)
			}
			if out, err := with("local", s.addr, line); err != nil || out != want {
				t.Errorf("%s: %v: %q, want %q", line, err, short(out), want)
			}
		}
	}
	if out, err := with("strange", s.addr, "berth ps"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("with a stranger's key: %v %s", err, out)
	}
	if out, err := with("local", s.addr+".nobody", "berth ps"); err == nil || !strings.Contains(out, "nobody") {
		t.Errorf("a socket that is not there: %v %s", err, out)
	}
	if out, err := with("local", "ssh://root@127.0.0.1:1"+d.Socket, "berth ps"); err == nil || !strings.Contains(out, "onnection refused") {
		t.Errorf("no sshd: %v %s", err, out)
	}
	noLeak(t, d, before)
}
