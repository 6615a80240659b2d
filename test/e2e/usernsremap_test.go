package e2e

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

const firstID = 310000 // of those that the story gives away

// remappedDaemon runs one whose containers have the ids of "nobody" below them.
func remappedDaemon(t *testing.T) *engine.Daemon {
	t.Helper()
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		file := filepath.Join(t.TempDir(), "ids")
		if err := os.WriteFile(file, []byte("nobody:"+strconv.Itoa(firstID)+":65536\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(file, path, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(path, 0); err != nil {
				t.Error(err)
			}
		})
	}
	d := newDaemon(t, "--userns-remap=nobody")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// owner is who a file of the host belongs to.
func owner(t *testing.T, path string) (uid, gid int) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Uid), int(st.Gid)
}

func owned(t *testing.T, path string, want int) {
	t.Helper()
	if uid, gid := owner(t, path); uid != want || gid != want {
		t.Errorf("%s belongs to %d:%d, want %d", path, uid, gid, want)
	}
}

// TestUsernsRemap: root in a container is not root outside, whatever it does.
func TestUsernsRemap(t *testing.T) {
	d := remappedDaemon(t)
	says := func(want string, args ...string) {
		t.Helper()
		if got := strings.TrimSpace(must(t, d, args...)); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	if info := must(t, d, "berth", "info"); !strings.Contains(info, "userns") || !strings.Contains(info, "310000.310000") {
		t.Error(info)
	}
	volumes := filepath.Join(d.DataRoot(), "310000.310000/volumes")
	bound := filepath.Join(t.TempDir(), "made/here")

	must(t, d, "berth", "run", "-d", "--name", "box", "-v", "vol:/data", "-v", bound+":/bound", "-w", "/work", "busybox", "sleep", "1000")
	pid := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Pid}}", "box"))
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil || !strings.Contains(string(status), "Uid:\t310000\t310000\t310000\t310000") {
		t.Errorf("%v\n%s", err, status)
	}
	says("0 310000 65536", "berth", "exec", "box", "awk", "{print $1, $2, $3}", "/proc/self/uid_map")
	says("0:0", "berth", "exec", "box", "stat", "-c", "%u:%g", "/bin/busybox")
	for _, place := range []string{"/", "/data", "/bound", "/work", "/etc/hosts", "/etc/resolv.conf"} {
		says("0:0", "berth", "exec", "box", "stat", "-c", "%u:%g", place)
	}
	// What it writes belongs to the mapped ids; what is the host's, it cannot touch.
	must(t, d, "berth", "exec", "box", "sh", "-c", "echo x >/data/f; echo x >/bound/f; chown 5:6 /bound/f; echo y >>/etc/hosts; mknod /tmp/p p; ping -c1 127.0.0.1")
	owned(t, filepath.Join(bound, "..", "."), firstID)
	if uid, gid := owner(t, filepath.Join(bound, "f")); uid != firstID+5 || gid != firstID+6 {
		t.Errorf("%d:%d", uid, gid)
	}
	found, err := filepath.Glob(filepath.Join(volumes, "vol/*/f"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	owned(t, found[0], firstID)
	owned(t, filepath.Dir(found[0]), firstID)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := client(t, d, "berth", "run", "--rm", "-v", secret+":/s", "busybox", "cat", "/s"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("a file of the host's root: %v, %s", err, out)
	}
	says("0", "berth", "exec", "-u", "0", "box", "id", "-u")
}

// TestUsernsRemapFiles: copies, images of containers and exports have the ids of
// the container.
func TestUsernsRemapFiles(t *testing.T) {
	d := remappedDaemon(t)
	must(t, d, "berth", "run", "-d", "--name", "box", "busybox", "sh", "-c", "echo x >/seven; chown 7:8 /seven; sleep 1000")
	eventually(t, "the file", func() []string {
		if out, err := client(t, d, "berth", "exec", "box", "stat", "-c", "%u:%g", "/seven"); err != nil || strings.TrimSpace(out) != "7:8" {
			return []string{out}
		}
		return nil
	})
	dir := t.TempDir()
	archive := filepath.Join(dir, "x.tar")
	check := func(name, want string) {
		t.Helper()
		f, err := os.Open(archive)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for r := tar.NewReader(f); ; {
			h, err := r.Next()
			if err == io.EOF {
				t.Fatalf("no %s", name)
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Name == name {
				if got := strconv.Itoa(h.Uid) + ":" + strconv.Itoa(h.Gid); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
				return
			}
		}
	}
	for _, state := range []string{"running", "stopped"} {
		must(t, d, "sh", "-c", "berth cp box:/seven - >"+archive)
		check("seven", "7:8")
		must(t, d, "sh", "-c", "berth export box >"+archive)
		check("seven", "7:8")
		check("bin/busybox", "0:0")
		must(t, d, "sh", "-c", "cd "+dir+" && mkdir -p new/in && echo x >new/in/f && tar -c --owner=9 --group=9 new | berth cp - box:/tmp")
		if state == "running" {
			must(t, d, "berth", "stop", "-t", "0", "box")
		}
	}
	if out := must(t, d, "berth", "diff", "box"); strings.Contains(out, "busybox") || !strings.Contains(out, "A /seven") {
		t.Errorf("diff:\n%s", out)
	}
	must(t, d, "berth", "commit", "box", "made")
	out := must(t, d, "berth", "run", "--rm", "made", "stat", "-c", "%n %u:%g", "/seven", "/tmp/new/in/f", "/bin/busybox")
	if out != "/seven 7:8\n/tmp/new/in/f 9:9\n/bin/busybox 0:0\n" {
		t.Errorf("the image:\n%s", out)
	}
}

// TestUsernsRemapModes: what cannot be together is refused in Docker's words, and
// a container may stay in the host's user namespace.
func TestUsernsRemapModes(t *testing.T) {
	d := remappedDaemon(t)
	for want, flags := range map[string][]string{
		"privileged mode is incompatible with user namespaces": {"--privileged"},
		"cannot share the host's network namespace":            {"--network=host"},
		"cannot share the host PID namespace":                  {"--pid=host"},
		"invalid USER mode":                                    {"--userns=private"},
	} {
		args := append(append([]string{"berth", "run", "--rm"}, flags...), "busybox", "true")
		if out, err := client(t, d, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v, %s", flags, err, out)
		}
	}
	must(t, d, "berth", "run", "--rm", "--userns=host", "--privileged", "--network=host", "--pid=host", "busybox", "true")
	if out := must(t, d, "berth", "run", "--rm", "--userns=host", "busybox", "cat", "/proc/self/uid_map"); !strings.Contains(out, "4294967295") {
		t.Errorf("--userns=host: %s", out)
	}
	for _, flags := range [][]string{
		{"--init"},
		{"--read-only"},
		{"--tmpfs=/x"},
		{"--device=/dev/full"},
		{"-t"},
		{"--network=none"},
		{"--cgroupns=host"},
		{"--uts=host"},
		{"--ipc=host"},
		{"--cap-add=SYS_ADMIN"},
		{"--memory=64m"},
		{"--sysctl=net.ipv4.ip_forward=1"},
		{"--mount=type=image,src=busybox,dst=/image"},
		{"-p=127.0.0.1::80"},
		{"--user=nobody"},
		{"--security-opt=no-new-privileges"},
	} {
		must(t, d, append(append([]string{"berth", "run", "--rm"}, flags...), "busybox", "sh", "-c", "! test -e /image || test -O /image/bin/busybox")...)
	}
	// Sharing with another container of the same user namespace, also when the
	// engine that made it is gone.
	must(t, d, "berth", "run", "-d", "--name", "owner", "--ipc=shareable", "busybox", "sleep", "1000")
	for range 2 {
		for _, mode := range []string{"--network=container:owner", "--pid=container:owner", "--ipc=container:owner"} {
			must(t, d, "berth", "run", "--rm", mode, "busybox", "ls", "/proc/1", "/sys/class/net")
		}
		must(t, d, "berth", "exec", "owner", "true")
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	must(t, d, "berth", "restart", "-t", "0", "owner")
	must(t, d, "berth", "exec", "owner", "ping", "-c1", "127.0.0.1")
}

// buildRemapped is a build whose steps look at their ids, and leave files with
// owners, whiteouts and directories of all kinds.
const buildRemapped = `# syntax-less on purpose: the frontend is the engine's
FROM busybox AS base
RUN set -e; test "$(awk '{print $1, $2, $3}' /proc/self/uid_map)" = "0 310000 65536"; \
    test "$(stat -c %u:%g /bin/busybox /etc/hosts /etc/resolv.conf / | sort -u)" = 0:0; \
    echo one >/owned; chown 5:6 /owned; chmod 4750 /owned; mkdir /dir /empty; echo gone >/dir/gone; echo stays >/dir/stays; ln -s /owned /link; mknod /pipe p
COPY --chown=7:8 file /copied
WORKDIR /made/here
RUN set -e; rm /dir/gone; rm -r /empty; mkdir /empty; mv /copied /moved; cat /dir/stays; test "$(stat -c %u:%g /made/here /moved | tr '\n' ' ')" = "0:0 7:8 "; \
    ! mount -t tmpfs x /mnt; ! mknod /null c 1 3; ping -c1 127.0.0.1
USER 9:10
RUN id -u; ! touch /owned; echo nine >/tmp/nine
USER 0
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t --mount=type=secret,id=s,mode=0400,uid=11 --mount=type=bind,target=/ctx,rw \
    set -e; echo >>/cache/runs; chown 12 /cache/runs; test "$(stat -c %u /run/secrets/s /cache/runs /ctx/file | tr '\n' ' ')" = "11 12 0 "; \
    cat /run/secrets/s; touch /t/x /ctx/new; wc -l </cache/runs >/runs
FROM busybox
RUN --mount=from=base,target=/base set -e; test "$(stat -c %u:%g /base/owned /base/moved | tr '\n' ' ')" = "5:6 7:8 "; cp -a /base/owned /base/dir /
COPY --from=base /runs /tmp/nine /
COPY --from=base /moved /there/
`

// TestUsernsRemapBuild: steps of builds are remapped as containers are, and what
// they make has the owners that images have.
func TestUsernsRemapBuild(t *testing.T) {
	d := remappedDaemon(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": buildRemapped, "file": "copied\n", "secret": "hush\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := func(args ...string) string {
		t.Helper()
		return must(t, d, append(append([]string{"berth", "build", "--progress=plain", "--secret", "id=s,src=" + filepath.Join(dir, "secret")}, args...), dir)...)
	}
	if out := build("-t", "made", "-t", "again"); !strings.Contains(out, "hush") {
		t.Error(out)
	}
	stat := func(image string, want string, paths ...string) {
		t.Helper()
		got := must(t, d, append([]string{"berth", "run", "--rm", image, "stat", "-c", "%n %u:%g %a"}, paths...)...)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", image, got, want)
		}
	}
	stat("made", "/owned 5:6 4750\n/dir/stays 0:0 644\n/there/moved 7:8 644\n/nine 9:10 644\n/bin/busybox 0:0 755", "/owned", "/dir/stays", "/there/moved", "/nine", "/bin/busybox")
	build("-t", "base", "--target", "base")
	stat("base", "/made/here 0:0 755\n/moved 7:8 644\n/link 0:0 777\n/pipe 0:0 644", "/made/here", "/moved", "/link", "/pipe")
	if out, err := client(t, d, "berth", "run", "--rm", "base", "sh", "-c", "ls /dir /empty /copied"); err == nil || !strings.Contains(out, "stays") || strings.Contains(out, "gone\n") {
		t.Errorf("whiteouts: %v, %s", err, out)
	}
	// The same again is the cache's; the cache of a mount has kept its owner.
	if out := build("-t", "made"); strings.Count(out, "CACHED") < 8 {
		t.Error(out)
	}
	must(t, d, "sh", "-c", "echo 'RUN --mount=type=cache,target=/cache test $(stat -c %u /cache/runs) = 12' >>"+filepath.Join(dir, "Dockerfile"))
	build("-t", "made")

	// The classic builder, and what nobody gets.
	must(t, d, "sh", "-c", "printf 'FROM busybox\nRUN grep -q 310000 /proc/self/uid_map\n' | DOCKER_BUILDKIT=0 docker build -q -")
	for want, args := range map[string][]string{
		"cannot share the host's network namespace":                            {"--network=host", "--allow=network.host"},
		"security.insecure is (incompatible with user namespaces|not allowed)": {"--allow=security.insecure"},
	} {
		text := "FROM busybox\nRUN true\n"
		if strings.HasPrefix(want, "security") {
			text = "FROM busybox\nRUN --security=insecure true\n"
		}
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, "Dockerfile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := client(t, d, append(append([]string{"berth", "build", "--no-cache"}, args...), other)...)
		if err == nil || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%q: %v, %s", args, err, out)
		}
	}
}
