package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// linked makes an image in which the names are links to the host's directory,
// by several ways.
func linked(t *testing.T, name, target string, paths ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, full); err != nil {
			t.Fatal(err)
		}
	}
	image(t, name, "--layer", dir+"=/")
}

// An image decides what every name in its root file system is. Wherever the
// engine makes or mounts something, it is a link to the host.
func TestAttackLinks(t *testing.T) {
	host := newCanary(t)
	run := func(image string, flags ...string) {
		args := append(append([]string{"run", "--rm"}, flags...), image, "/bin/busybox", "touch", "/etc/hosts", "/srv/x", "/made")
		_, _ = berth(t.Context(), args...) // it may be refused
		host.untouched(t)
	}
	// By a process of the host's that surely has this directory: process 1 may have another root.
	throughProc := fmt.Sprintf("/proc/%d/root%s", os.Getpid(), host.dir)
	for i, target := range []string{strings.Repeat("../", 30) + host.dir, throughProc} {
		name := func(s string) string { return fmt.Sprintf("link%d%s", i, s) }
		for _, system := range []string{"dev", "proc", "sys", "etc"} {
			linked(t, name(system), target, system)
			run(name(system))
		}
		linked(t, name("files"), target+"/shadow", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/passwd", "etc/group")
		run(name("files"), "--user", "www-data")
		run(name("files"), "--group-add", "users")
		linked(t, name("places"), target, "srv", "run", "var/lib")
		run(name("places"), "-w", "/srv/work")
		run(name("places"), "-v", "/srv/volume", "-v", "linked:/srv")
		run(name("places"), "-v", t.TempDir()+":/srv/a/b", "--tmpfs", "/run/x", "--tmpfs", "/var/lib")
		run(name("places"), "--device", "/dev/null:/srv/null", "--device", "/dev/zero:/run/zero")
		run(name("places"), "-t", "--read-only")
	}
}

// A neighbour exchanges the names on a shared volume for links to the host
// while containers are started that have something mounted or made there
// (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565).
func TestAttackRace(t *testing.T) {
	host := newCanary(t)
	const volume = "race"
	setUp := "cd /v && mkdir -p a/b dev sub && touch dev/null && ln -s " + host.dir + " la && ln -s " + host.dir + " ldev && ln -s /proc/self/fd lsub"
	must(t, "run", "--rm", "-v", volume+":/v", "attacker", "sh", "-c", setUp)
	background(t, "-v", volume+":/v", "attacker", "/attacker", "swap", "/v/a", "/v/la", "/v/dev", "/v/ldev", "/v/sub", "/v/lsub")
	other := t.TempDir()
	started := 0
	for i := range 40 {
		flags := [][]string{
			{"-v", other + ":/v/a/b"},
			{"-v", other + ":/v/a/new" + fmt.Sprint(i), "--tmpfs", "/v/a/tmp" + fmt.Sprint(i)},
			{"--device", "/dev/null:/v/dev/zero" + fmt.Sprint(i), "-w", "/v/a/work" + fmt.Sprint(i)},
			{"--mount", "type=volume,src=" + volume + ",dst=/x,volume-subpath=sub"},
		}[i%4]
		args := append(append([]string{"run", "--rm", "-v", volume + ":/v"}, flags...), "attacker", "true")
		if _, err := berth(t.Context(), args...); err == nil {
			started++
		}
		host.untouched(t)
		if t.Failed() {
			break
		}
	}
	if started == 0 {
		t.Error("not one container was started")
	}
}

// The same for a volume that a container has as its /dev: null device, console
// and terminals are exchanged for links while containers start.
func TestAttackDevRace(t *testing.T) {
	host := newCanary(t)
	dev := t.TempDir()
	for _, d := range []string{"pts", "shm", "mqueue"} {
		if err := os.Mkdir(filepath.Join(dev, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	setUp := "cd /d && mknod null c 1 3 && mknod zero c 1 5 && mknod ptmx c 5 2 && touch console" +
		" && for n in null zero ptmx console; do ln -s " + host.dir + "/shadow l$n; done; ln -s " + host.dir + " lpts; ln -s /proc/sys lshm"
	must(t, "run", "--rm", "-v", dev+":/d", "attacker", "sh", "-c", setUp)
	names := []string{"-v", dev + ":/d", "attacker", "/attacker", "swap"}
	for _, n := range []string{"null", "console", "pts", "ptmx", "shm"} {
		names = append(names, "/d/"+n, "/d/l"+n)
	}
	background(t, names...)
	started := 0
	for i := range 30 {
		flags := [][]string{{}, {"-t"}, {"--init"}, {"--tmpfs", "/dev/shm/x"}, {"--device", "/dev/zero:/dev/pts/zero"}}[i%5]
		args := append(append([]string{"run", "--rm", "-v", dev + ":/dev"}, flags...), "attacker", "sh", "-c", "echo enemy >/dev/null; stat -c %t:%T /proc/keys; cat /proc/keys")
		out, err := berth(t.Context(), args...)
		if err == nil {
			started++
		}
		if err == nil && !strings.HasPrefix(strings.ReplaceAll(out, "\r", ""), "1:3\n") && strings.Contains(out, "keyring") {
			t.Errorf("not masked: %s", out)
		}
		host.untouched(t)
		if t.Failed() {
			break
		}
	}
	if started == 0 {
		t.Error("not one container was started")
	}
}

// While one is filled from an image, a container that has the volume already
// exchanges the directories in it.
func TestAttackFill(t *testing.T) {
	host := newCanary(t)
	tree := t.TempDir()
	for i := range 100 {
		dir := filepath.Join(tree, fmt.Sprintf("d%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "enemy"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image(t, "fill", "--dir", tree+"=/fill")
	for i := range 5 {
		volume := fmt.Sprintf("fill%d", i)
		neighbour := background(t, "-v", volume+":/v:nocopy", "attacker", "/attacker", "occupy", "/v", host.dir)
		_, _ = berth(t.Context(), "run", "--rm", "-v", volume+":/fill", "fill", "true")
		must(t, "stop", "-t", "0", neighbour)
		host.untouched(t)
	}
}
