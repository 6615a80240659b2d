package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostTmpfs is a mount of the host for a test.
func hostTmpfs(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// hostBind is a directory that is a mount, of a file system that can map owners
// on every kernel that maps them (tmpfs since 6.3).
func hostBind(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// userAttributes tells whether a tmpfs has extended attributes of users (6.6).
func userAttributes(t *testing.T) bool {
	dir := hostTmpfs(t, t.TempDir())
	err := unix.Setxattr(dir, "user.x", []byte("value"), 0)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	return err == nil
}

// Every word of the specification's table that is an attribute of a mount, on
// a new file system and on a bind mount (config.md, "Linux mount options").
func TestMountAttributes(t *testing.T) {
	host := hostTmpfs(t, t.TempDir())
	words := map[string]string{
		"ro": "ro,relatime", "rw": "rw,relatime", "nosuid": "rw,nosuid,relatime", "nodev": "rw,nodev,relatime",
		"noexec": "rw,noexec,relatime", "noatime": "rw,noatime", "nodiratime": "rw,nodiratime,relatime", "strictatime": "rw",
		"relatime": "rw,relatime", "atime": "rw,relatime", "nostrictatime": "rw,relatime", "suid": "rw,relatime",
		"dev": "rw,relatime", "exec": "rw,relatime", "diratime": "rw,relatime", "symfollow": "rw,relatime",
		"nosymfollow": "rw,relatime,nosymfollow", "defaults": "rw,relatime", "loud": "rw,relatime", "silent": "rw,relatime",
		"iversion": "rw,relatime", "noiversion": "rw,relatime", "async": "rw,relatime", "nomand": "rw,relatime",
	}
	spec := defaultSpec("/probe", "report")
	for word := range words {
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/new-" + word, Options: []string{word}},
			bindMount(host, "/bind-"+word, word))
	}
	r := newBox(t, spec).report()
	for word, want := range words {
		for _, point := range []string{"/new-" + word, "/bind-" + word} {
			if f := strings.Fields(r.mount(point)); len(f) < 6 || f[5] != want {
				t.Errorf("%s: %v, want %s", point, f, want)
			}
		}
	}
}

// Words that concern the file system reach it, as do those that nobody knows.
func TestFileSystemOptions(t *testing.T) {
	words := map[string]string{
		"sync": "rw,sync", "dirsync": "rw,dirsync", "lazytime": "rw,lazytime", "nr_inodes=77": "nr_inodes=77", "mand": "rw", "uid=5": "uid=5",
	}
	spec := defaultSpec("/probe", "report")
	for word := range words {
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/" + word, Options: []string{word}})
	}
	r := newBox(t, spec).report()
	for word, want := range words {
		line := r.mount("/" + word)
		if _, super, _ := strings.Cut(line, " - "); !strings.Contains(super, want) {
			t.Errorf("%s: %s", word, line)
		}
	}
	spec = defaultSpec("/probe")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/new", Options: []string{"nosuchword=1"}})
	if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), "nosuchword") {
		t.Error(err)
	}
}

// The words with an r in front also change what is mounted below.
func TestRecursiveAttributes(t *testing.T) {
	host := hostTmpfs(t, t.TempDir())
	hostTmpfs(t, filepath.Join(host, "below"))
	spec := defaultSpec("/probe", "report")
	for _, c := range [][2]string{
		{"rro", "ro,relatime"},
		{"rnosuid", "rw,nosuid,relatime"},
		{"rnodev", "rw,nodev,relatime"},
		{"rnoexec", "rw,noexec,relatime"},
		{"rnoatime", "rw,noatime"},
		{"rnodiratime", "rw,nodiratime,relatime"},
		{"rstrictatime", "rw"},
		{"rnosymfollow", "rw,relatime,nosymfollow"},
		{"rrw", "rw,relatime"},
		{"rsuid", "rw,relatime"},
		{"rdev", "rw,relatime"},
		{"rexec", "rw,relatime"},
		{"ratime", "rw,relatime"},
		{"rdiratime", "rw,relatime"},
		{"rrelatime", "rw,relatime"},
		{"rnostrictatime", "rw,relatime"},
		{"rsymfollow", "rw,relatime"},
	} {
		spec.Mounts = append(spec.Mounts, bindMount(host, "/"+c[0]+"="+c[1], c[0]))
	}
	spec.Mounts = append(spec.Mounts, bindMount(host, "/only", "ro"))
	r := newBox(t, spec).report()
	for _, m := range spec.Mounts {
		word, want, _ := strings.Cut(m.Destination, "=")
		for _, point := range []string{m.Destination, m.Destination + "/below"} {
			if f := strings.Fields(r.mount(point)); want != "" && (len(f) < 6 || f[5] != want) {
				t.Errorf("%s at %s: %v, want %s", word, point, f, want)
			}
		}
	}
	if line := r.mount("/only/below"); !strings.Contains(line, " rw,relatime ") {
		t.Errorf("ro went below: %s", line)
	}
	// rrw clears what the source has.
	must(t, unix.Mount("", filepath.Join(host, "below"), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	spec = defaultSpec("/probe", "create", "/rrw/below/x", "/rw/below/x")
	spec.Mounts = append(spec.Mounts, bindMount(host, "/rrw", "rrw"), bindMount(host, "/rw", "rw"))
	if out, _ := newBox(t, spec).run(); out != "/rrw/below/x true\n/rw/below/x false\n" {
		t.Error(out)
	}
}

func TestPropagationBelow(t *testing.T) {
	host := hostTmpfs(t, t.TempDir())
	below := hostTmpfs(t, filepath.Join(host, "below"))
	must(t, unix.Mount("", host, "", unix.MS_SHARED|unix.MS_REC, ""))
	spec := defaultSpec("/probe", "report")
	for _, word := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
		spec.Mounts = append(spec.Mounts, bindMount(host, "/"+word, word))
	}
	spec.Mounts = append(spec.Mounts, bindMount(host, "/nothing"))
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/new", Options: []string{"shared"}})
	r := newBox(t, spec).report()
	for point, want := range map[string]string{
		"/private": "", "/private/below": "", "/rprivate": "", "/rprivate/below": "", "/slave": "master:", "/slave/below": "master:",
		"/rslave": "master:", "/rslave/below": "master:", "/shared": "shared:", "/rshared": "shared:", "/rshared/below": "shared:",
		"/unbindable": "unbindable", "/unbindable/below": "", "/runbindable": "unbindable", "/runbindable/below": "unbindable",
		"/nothing": "", "/nothing/below": "", "/new": "shared:",
	} {
		f := strings.Fields(r.mount(point))
		if i := slices.Index(f, "-"); i < 6 || !strings.Contains(strings.Join(f[6:i], " "), want) || want == "" && i != 6 {
			t.Errorf("%s: %v, want %q", point, f, want)
		}
	}
	_ = below
}

// "remount" changes what is there: attributes of anything, parameters only of
// file systems that are the container's own.
func TestRemount(t *testing.T) {
	host := hostTmpfs(t, t.TempDir())
	spec := defaultSpec("/probe", "report")
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Type: "tmpfs", Destination: "/own", Options: []string{"nosuid", "size=1m"}},
		specs.Mount{Destination: "/own", Options: []string{"remount", "ro", "size=2m"}},
		bindMount(host, "/bound", "nodev"),
		specs.Mount{Destination: "/bound", Options: []string{"remount", "bind", "ro", "size=5m", "shared"}},
		specs.Mount{Destination: "/sys", Options: []string{"remount", "rw"}},
		specs.Mount{Destination: "/", Options: []string{"remount", "bind", "nosuid"}},
	)
	r := newBox(t, spec).report()
	for point, want := range map[string]string{
		"/own": "size=2048k", "/bound": " ro,nodev,relatime shared:", "/sys": " rw,nosuid,nodev,noexec,relatime ", "/": " rw,nosuid,relatime ",
	} {
		if line := r.mount(point); !strings.Contains(line, want) {
			t.Errorf("%s: %q, want %q", point, line, want)
		}
	}
	if line := r.mount("/own"); !strings.Contains(line, " ro,nosuid,relatime ") {
		t.Errorf("attributes are lost: %s", line)
	}
	hostTmpfs(t, filepath.Join(host, "below"))
	for dest, want := range map[string]string{"/bound": "others use", "/bound/below": "others use", "/sys": "others use", "/etc": "is it a mount?", "/nosuch": "no such file"} {
		spec := defaultSpec("/probe")
		spec.Mounts = append(spec.Mounts, bindMount(host, "/bound"), specs.Mount{Destination: dest, Options: []string{"remount", "ro", "size=2m"}})
		if dest == "/etc" {
			spec.Mounts[len(spec.Mounts)-1].Options = []string{"remount", "ro"}
		}
		if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dest, err)
		}
	}
}

// A tmpfs that is read-only is so for the container, not for what is mounted
// and made in it.
func TestReadOnlyTmpfs(t *testing.T) {
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "file"), nil, 0o644))
	spec := defaultSpec("/probe", "create", "/dev/x", "/dev/shm/x", "/ro/x", "/ro/in/x", "/rw/x")
	spec.Mounts[1].Options = append(spec.Mounts[1].Options, "ro")
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Type: "tmpfs", Destination: "/ro", Options: []string{"ro"}}, bindMount(host, "/ro/in"),
		specs.Mount{Type: "tmpfs", Destination: "/rw", Options: []string{"ro"}}, specs.Mount{Destination: "/rw", Options: []string{"remount", "rw"}})
	b := newBox(t, spec)
	if out, _ := b.run(); out != "/dev/x false\n/dev/shm/x true\n/ro/x false\n/ro/in/x true\n/rw/x true\n" {
		t.Error(out)
	}
}

// A source below the bundle's root file system is what the container has there
// when its turn comes.
func TestBindOwnTree(t *testing.T) {
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "file"), nil, 0o644))
	must(t, os.Mkdir(filepath.Join(host, "down"), 0o755))
	for _, user := range []bool{false, true} {
		spec := defaultSpec("/probe", "stat", "/final/a/file", "/final/a/down/file", "/flat/file")
		if user {
			spec = userSpec(spec.Process.Args...)
		}
		spec.Root.Path = "/bundle/rootfs"
		spec.Mounts = append(spec.Mounts, bindMount(host, "/mnt/a"), bindMount(host, "/mnt/a/down"), bindMount("/bundle/rootfs/mnt", "/final"),
			specs.Mount{Type: "bind", Source: "/bundle/rootfs/mnt/a/down", Destination: "/flat"})
		b := newBox(t, spec)
		if user {
			b.owner = base
		}
		if out, _ := b.run(); strings.Count(out, " 100644 ") != 3 {
			t.Error(out)
		}
		spec.Mounts = append(spec.Mounts, bindMount("/bundle/rootfs/../../etc", "/etc2"), bindMount("/bundle/rootfs/link", "/out"))
		spec.Process.Args = []string{"/probe", "list", "/out"}
		b = newBox(t, spec)
		must(t, os.Symlink(host, filepath.Join(b.dir, "link")))
		if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "bind source") {
			t.Errorf("a link led out: %v", err)
		}
	}
}

// tmpcopyup keeps all that a file is.
func TestTmpCopyUp(t *testing.T) {
	spec := defaultSpec("/probe", "details")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/up", Options: []string{"tmpcopyup", "ro"}})
	b := newBox(t, spec)
	up := filepath.Join(b.dir, "up")
	in := func(name string) string { return filepath.Join(up, name) }
	must(t, os.MkdirAll(in("dir/deep"), 0o750))
	must(t, os.WriteFile(in("dir/deep/file"), []byte("content"), 0o600))
	must(t, os.Chown(in("dir/deep/file"), 12, 34))
	must(t, os.WriteFile(in("suid"), nil, 0o755))
	must(t, os.Chown(in("suid"), 1, 2))
	must(t, os.Chmod(in("suid"), 0o755|os.ModeSetuid|os.ModeSetgid))
	must(t, os.Link(in("suid"), in("dir/again")))
	must(t, os.Symlink("/nosuch", in("link")))
	must(t, os.Lchown(in("link"), 7, 8))
	must(t, unix.Mkfifo(in("fifo"), 0o640))
	must(t, unix.Mknod(in("node"), unix.S_IFCHR|0o604, int(unix.Mkdev(1, 7))))
	must(t, os.WriteFile(in("caps"), []byte("x"), 0o755))
	must(t, unix.Setxattr(in("caps"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	names := []string{"", "dir", "dir/deep", "dir/deep/file", "dir/again", "suid", "link", "fifo", "node", "caps"}
	if userAttributes(t) {
		must(t, unix.Setxattr(in("dir"), "user.x", []byte("value"), 0))
	}
	for i, name := range names {
		times := []unix.Timespec{{Sec: int64(i)}, {Sec: int64(1000 + i)}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, in(name), times, unix.AT_SYMLINK_NOFOLLOW))
		spec.Process.Args = append(spec.Process.Args, filepath.Join("/up", name))
	}
	must(t, os.Chmod(up, 0o711))
	must(t, os.Chown(up, 3, 4))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, up, []unix.Timespec{{}, {Sec: 1000}}, 0))
	copied, _ := b.run()
	must(t, os.RemoveAll(b.upper))
	spec.Mounts = spec.Mounts[:len(spec.Mounts)-1]
	c := newBox(t, spec)
	c.dir = b.dir
	original, _ := c.run()
	for i, line := range strings.Split(original, "\n") {
		got := strings.Split(copied, "\n")[i]
		if i < len(names) && strings.HasSuffix(names[i], "dir") || i < 3 { // sizes of directories are the file system's
			got, line = noSize(got), noSize(line)
		}
		if got != line {
			t.Errorf("copied   %s\noriginal %s", got, line)
		}
	}
	if !strings.Contains(copied, "caps 20\n") || !strings.Contains(copied, "links 2") {
		t.Error(copied)
	}
}

func noSize(line string) string {
	before, after, _ := strings.Cut(line, "size ")
	_, after, _ = strings.Cut(after, " ")
	return before + after
}

// Nothing outside is copied, and a tree without end is an error.
func TestTmpCopyUpBounds(t *testing.T) {
	spec := defaultSpec("/probe", "list", "/up/mnt")
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "secret"), nil, 0o600))
	up := specs.Mount{Type: "tmpfs", Destination: "/up", Options: []string{"tmpcopyup"}}
	spec.Mounts = append(spec.Mounts, bindMount(host, "/up/mnt"), up)
	if out, code := newBox(t, spec).run(); out != "" || code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	spec = defaultSpec("/probe")
	spec.Mounts = append(spec.Mounts, up)
	b := newBox(t, spec)
	must(t, os.MkdirAll(filepath.Join(b.dir, "up", strings.Repeat("d/", 1010)), 0o755))
	if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "directories deep") {
		t.Error(err)
	}
	spec.Mounts[len(spec.Mounts)-1].Type = "ramfs"
	var e *InvalidSpecError
	if err := newBox(t, spec).spawn(); !errors.As(err, &e) {
		t.Error(err)
	}
}

func TestIDMappedMounts(t *testing.T) {
	noLeak(t)
	host := hostBind(t, t.TempDir())
	below := hostBind(t, filepath.Join(host, "below"))
	for _, dir := range []string{host, below} {
		must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
		must(t, os.Chown(filepath.Join(dir, "file"), 100005, 200007))
	}
	uids := []specs.LinuxIDMapping{{ContainerID: 100000, HostID: 0, Size: 1000}}
	gids := []specs.LinuxIDMapping{{ContainerID: 200000, HostID: 0, Size: 1000}}
	spec := defaultSpec("/probe", "details", "/plain/file", "/flat/file", "/flat/below/file", "/deep/file", "/deep/below/file", "/asked/file")
	mapped := func(dest string, words ...string) specs.Mount {
		m := bindMount(host, dest, words...)
		m.UIDMappings, m.GIDMappings = uids, gids
		return m
	}
	spec.Mounts = append(spec.Mounts, bindMount(host, "/plain"), mapped("/flat", "idmap"), mapped("/deep", "ridmap"), mapped("/asked"))
	out, _ := newBox(t, spec).run()
	for name, owner := range map[string]string{
		"/plain/file": "100005:200007", "/flat/file": "5:7", "/flat/below/file": "100005:200007",
		"/deep/file": "5:7", "/deep/below/file": "5:7", "/asked/file": "5:7",
	} {
		if !strings.Contains(out, fmt.Sprintf("%s 100644 %s ", name, owner)) {
			t.Errorf("%s is not of %s:\n%s", name, owner, out)
		}
	}
	// A part of the container's own tree, too, when its turn comes.
	own := mapped("/own", "idmap")
	own.Source = "/bundle/rootfs/plain"
	again := *spec
	again.Process = defaultSpec("/probe", "details", "/own/file").Process
	again.Root = &specs.Root{Path: "/bundle/rootfs"}
	again.Mounts = append(slices.Clone(spec.Mounts), own)
	if out, _ := newBox(t, &again).run(); !strings.Contains(out, "/own/file 100644 5:7 ") {
		t.Error(out)
	}
	// What is written is stored mapped back.
	must(t, os.Chown(host, 100000, 200000))
	spec = defaultSpec("/probe", "create", "/flat/new")
	spec.Mounts = append(spec.Mounts, mapped("/flat", "idmap"))
	newBox(t, spec).run()
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(host, "new"), &st))
	if st.Uid != 100000 || st.Gid != 200000 {
		t.Errorf("stored as %d:%d", st.Uid, st.Gid)
	}
	for what, m := range map[string]specs.Mount{
		"since there is no user namespace": bindMount(host, "/x", "idmap"),
		"go together":                      {Type: "bind", Source: host, Destination: "/x", UIDMappings: uids},
		"size 0":                           {Type: "bind", Source: host, Destination: "/x", UIDMappings: []specs.LinuxIDMapping{{}}, GIDMappings: gids},
		"overlap":                          {Type: "bind", Source: host, Destination: "/x", UIDMappings: append(uids, uids...), GIDMappings: gids},
		"32 bits":                          {Type: "bind", Source: host, Destination: "/x", UIDMappings: []specs.LinuxIDMapping{{HostID: 1<<32 - 1, Size: 1}}, GIDMappings: gids},
		"by a remount":                     {Source: host, Destination: "/x", Options: []string{"remount", "idmap"}, UIDMappings: uids, GIDMappings: gids},
	} {
		spec := defaultSpec("/probe")
		spec.Mounts = append(spec.Mounts, m)
		var e *InvalidSpecError
		if err := newBox(t, spec).spawn(); !errors.As(err, &e) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A root that is a copy of a shared mount: what the host mounts there later.
func TestRootfsPropagation(t *testing.T) {
	for word, want := range map[string]string{
		"": "", "private": "", "rprivate": "", "slave": "master:", "rslave": "master:", "shared": "shared:", "rshared": "shared:", "unbindable": "unbindable", "runbindable": "unbindable",
	} {
		spec := defaultSpec("/probe", "report")
		spec.Linux.RootfsPropagation = word
		b := newBox(t, spec)
		b.shareRoot = true
		r := b.report()
		f := strings.Fields(r.mount("/"))
		if i := slices.Index(f, "-"); i < 6 || !strings.Contains(strings.Join(f[6:i], " "), want) || want == "" && i != 6 {
			t.Errorf("%q: %v, want %q", word, f, want)
		}
		proc := r.mount("/proc")
		if below := strings.Contains(proc, "shared:"); below != (word == "rshared") {
			t.Errorf("%q: %s", word, proc)
		}
	}
	// What the host mounts there later.
	for word, appears := range map[string]bool{"rslave": true, "slave": true, "private": false, "shared": false} {
		spec := defaultSpec("/probe", "pause")
		spec.Linux.RootfsPropagation = word
		b := newBox(t, spec)
		b.shareRoot = true
		must(t, b.spawn())
		must(t, unix.Mount("tmpfs", filepath.Join(b.rootAt, "etc"), "tmpfs", 0, ""))
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", b.process.Pid))
		must(t, err)
		must(t, unix.Unmount(filepath.Join(b.rootAt, "etc"), 0))
		if strings.Contains(string(mounts), " /etc ") != appears {
			t.Errorf("%s:\n%s", word, mounts)
		}
	}
	spec := defaultSpec("/probe")
	spec.Linux.RootfsPropagation = "sideways"
	var e *InvalidSpecError
	if err := newBox(t, spec).spawn(); !errors.As(err, &e) {
		t.Error(err)
	}
}

// FuzzMountOptions: whatever the words, each is understood in one way, and
// attributes are never both set and cleared.
func FuzzMountOptions(f *testing.F) {
	f.Add("bind", "rbind,ro,rro,shared,rslave")
	f.Add("tmpfs", "size=1,mode=,=x,,r,rr,rrw,noatime,strictatime,idmap,remount,tmpcopyup")
	f.Fuzz(func(t *testing.T, kind, words string) {
		m := &specs.Mount{Type: kind, Options: strings.Split(words, ",")}
		o, err := parseOptions(m)
		if err != nil {
			if !strings.Contains(words, "\x00") {
				t.Error(err)
			}
			return
		}
		for _, a := range []uint64{o.attr.Set & o.attr.Clear, o.recAttr.Set & o.recAttr.Clear} {
			if a&^unix.MOUNT_ATTR__ATIME != 0 {
				t.Errorf("set and cleared: %x", a)
			}
		}
		if o.idmapBelow && !o.idmap || o.recursive && !o.bind || o.propRecursive && o.propagation == 0 {
			t.Errorf("%+v", o)
		}
		if len(o.fs) > len(m.Options) {
			t.Errorf("%d options from %d words", len(o.fs), len(m.Options))
		}
		again, err := parseOptions(m)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(o) {
			t.Error("not the same twice")
		}
	})
}
