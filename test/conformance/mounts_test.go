package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// flagsOf prints the flags of the mount at a place; the last one there, since
// that is what a process sees.
func flagsOf(place string) string {
	return "awk '$5==\"" + place + "\"{f=$6}END{print f}' /proc/self/mountinfo"
}

// propagationOf prints private, shared, slave or unbindable.
func propagationOf(place string) string {
	return `awk '$5=="` + place + `"{p="private"; for(i=7;$i!="-";i++){if($i~/^shared/)p="shared";if($i~/^master/)p="slave";if($i=="unbindable")p=$i}}END{print p}' /proc/self/mountinfo`
}

// TestMounts is config.md's mounts.
func TestMounts(t *testing.T) {
	const section = "config.md#mounts"
	host := t.TempDir()
	check(t, os.Chmod(host, 0o755))
	check(t, os.MkdirAll(filepath.Join(host, "sub"), 0o755))
	check(t, os.WriteFile(filepath.Join(host, "file"), []byte("content\n"), 0o644))
	bind := func(options ...string) edit {
		return mounts("/mnt", "bind", host, append([]string{"bind"}, options...)...)
	}
	rows := []must{
		{section, "a file system of a type", inside("tmpfs", "stat -f -c %T /mnt", mounts("/mnt", "tmpfs", "tmpfs"))},
		{section, "the destination is made if missing", inside("tmpfs", "stat -f -c %T /made/deep", mounts("/made/deep", "tmpfs", "tmpfs"))},
		{section, "a relative destination is relative to the root", inside("tmpfs", "stat -f -c %T /mnt", mounts("mnt", "tmpfs", "tmpfs"))},
		{section, "in the listed order", inside("inner", "ls /mnt", mounts("/mnt", "tmpfs", "tmpfs"), mounts("/mnt/inner", "tmpfs", "tmpfs"))},
		{section, "seen in the listed order", inside("/mnt /m1 /m2", `awk '$5~"^/m"{printf "%s ", $5}' /proc/self/mountinfo`,
			bind(), mounts("/m1", "tmpfs", "tmpfs"), mounts("/m2", "bind", host, "bind", "ro"))},
		{section, "a later one covers an earlier one", inside("", "ls /mnt", mounts("/mnt", "bind", host, "bind"), mounts("/mnt", "tmpfs", "tmpfs"))},
		{section, "a bind mount of a directory", inside("content", "cat /mnt/file", bind())},
		{section, "a bind mount of a file", inside("content", "cat /newfile", mounts("/newfile", "bind", filepath.Join(host, "file"), "bind"))},
		{section, "a source relative to the bundle", relativeSource},
		{section, "an error for a source that is not there", refused(mounts("/mnt", "bind", filepath.Join(host, "nowhere"), "bind"))},
		{section, "an error for a file system type that is unknown", refused(mounts("/mnt", "nosuchfs", "none"))},
		{section, "an error for an option that is unknown", refused(mounts("/mnt", "tmpfs", "tmpfs", "nosuchoption"))},
		{section, "a link in the root does not lead out", linkStaysInside},
		{section, "options of the file system reach it", inside("1234 750", "stat -c '%u %a' /mnt", mounts("/mnt", "tmpfs", "tmpfs", "uid=1234", "mode=750"))},
		{section, "remount", inside("ro", flagsOf("/mnt")+" | cut -d, -f1", mounts("/mnt", "tmpfs", "tmpfs"), mounts("/mnt", "tmpfs", "tmpfs", "remount", "ro"))},
		{section, "tmpcopyup", inside("root:x:0:", "cat /etc/group", mounts("/etc", "tmpfs", "tmpfs", "tmpcopyup"))},
		{section, "idmap is refused without mappings where there is no user namespace", refused(bind("idmap"))},
		{section, "uidMappings without gidMappings are an error", refused(bind(), func(s *specs.Spec) {
			s.Mounts[len(s.Mounts)-1].UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
		})},
		{section, "gidMappings without uidMappings are an error", refused(bind(), func(s *specs.Spec) {
			s.Mounts[len(s.Mounts)-1].GIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
		})},
		{section, "ridmap is refused without mappings where there is no user namespace", refused(bind("ridmap"))},
		{section, "ridmap holds for what is mounted below", idmapBelow("ridmap", "1000")},
		{section, "idmap does not", idmapBelow("idmap", "0")},
		{section, "uidMappings and gidMappings of a mount", inside("1000 2000", "stat -c '%u %g' /mnt/file", bind("idmap"), func(s *specs.Spec) {
			m := &s.Mounts[len(s.Mounts)-1]
			m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
			m.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 2000, Size: 1}}
		})},
	}
	// What each option shows in the flags of the mount: "+x" has x, "-x" has not.
	for option, effect := range map[string]string{
		"ro": "+ro", "rw": "+rw", "nosuid": "+nosuid", "suid": "-nosuid", "nodev": "+nodev", "dev": "-nodev",
		"noexec": "+noexec", "exec": "-noexec", "noatime": "+noatime", "atime": "-noatime", "nodiratime": "+nodiratime",
		"diratime": "-nodiratime", "relatime": "+relatime", "norelatime": "-noatime", "strictatime": "-relatime",
		"nostrictatime": "+relatime", "nosymfollow": "+nosymfollow", "symfollow": "-nosymfollow", "defaults": "+rw",
		"rro": "+ro", "rrw": "+rw", "rnosuid": "+nosuid", "rsuid": "-nosuid", "rnodev": "+nodev", "rdev": "-nodev",
		"rnoexec": "+noexec", "rexec": "-noexec", "rnoatime": "+noatime", "ratime": "-noatime", "rnodiratime": "+nodiratime",
		"rdiratime": "-nodiratime", "rrelatime": "+relatime", "rnorelatime": "-noatime", "rstrictatime": "-relatime",
		"rnostrictatime": "+relatime", "rnosymfollow": "+nosymfollow", "rsymfollow": "-nosymfollow",
	} {
		script := `case ",$(` + flagsOf("/mnt") + `)," in *,` + effect[1:] + `,*) echo +;; *) echo -;; esac`
		rows = append(rows, must{section, "option " + option, inside(effect[:1], script, bind(option))})
	}
	for _, option := range []string{"async", "sync", "dirsync", "iversion", "noiversion", "lazytime", "nolazytime", "loud", "silent", "mand", "nomand"} {
		rows = append(rows, must{section, "option " + option + " is taken", inside("tmpfs", "stat -f -c %T /mnt", mounts("/mnt", "tmpfs", "tmpfs", option))})
	}
	for option, want := range map[string]string{
		"private": "private", "rprivate": "private", "shared": "shared", "rshared": "shared",
		"unbindable": "unbindable", "runbindable": "unbindable",
	} {
		rows = append(rows, must{section, "option " + option, inside(want, propagationOf("/mnt"), bind(option))})
	}
	rows = append(rows, must{section, "option slave", slaveOfHost("slave")}, must{section, "option rslave", slaveOfHost("rslave")},
		must{section, "option rbind", bindTree("rbind", "x")}, must{section, "option bind leaves out what is mounted below", bindTree("bind", "")})
	hold(t, rows)
}

// idmapBelow looks at the owner of a file that is mounted below the source. Both
// are directories: what mount makes is a tmpfs, which has mappings since Linux 6.3.
func idmapBelow(option, owner string) func(*testing.T) {
	return func(t *testing.T) {
		source, other := t.TempDir(), t.TempDir()
		check(t, os.WriteFile(filepath.Join(other, "x"), nil, 0o644))
		below := filepath.Join(source, "below")
		check(t, os.Mkdir(below, 0o755))
		check(t, unix.Mount(other, below, "", unix.MS_BIND, ""))
		t.Cleanup(func() { check(t, unix.Unmount(below, unix.MNT_DETACH)) })
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
		inside(owner, "stat -c %u /mnt/below/x", mounts("/mnt", "bind", source, "rbind", option), func(s *specs.Spec) {
			m := &s.Mounts[len(s.Mounts)-1]
			m.UIDMappings, m.GIDMappings = ids, ids
		})(t)
	}
}

func relativeSource(t *testing.T) {
	b := newBox(t, sh("cat /mnt/f"), mounts("/mnt", "bind", "beside", "bind"))
	check(t, os.Mkdir(filepath.Join(b.bundle, "beside"), 0o755))
	check(t, os.WriteFile(filepath.Join(b.bundle, "beside", "f"), []byte("found"), 0o644))
	if out := b.run(); out != "found" {
		t.Errorf("got %q", out)
	}
}

// linkStaysInside mounts over a link that leads to an absolute path: that is one
// in the container.
func linkStaysInside(t *testing.T) {
	outside := t.TempDir()
	b := newBox(t, sh("ls -d /escape"), mounts("/link/here", "tmpfs", "tmpfs"))
	check(t, os.Symlink(outside, b.rootfs("link")))
	if err := b.create(); err == nil {
		b.mustStart()
		_, _ = reap(b.last)
		b.last = 0
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("made on the host: %v", left)
	}
}

// bindTree looks whether a mount below the source comes along.
func bindTree(option, want string) func(*testing.T) {
	return func(t *testing.T) {
		source := hostMount(t)
		check(t, os.WriteFile(filepath.Join(source, "below", "x"), nil, 0o644))
		inside(want, "ls /mnt/below", mounts("/mnt", "bind", source, option))(t)
	}
}

// slaveOfHost has what is mounted on the host later appear in the container, and
// nothing go the other way.
func slaveOfHost(option string) func(*testing.T) {
	return func(t *testing.T) {
		source := hostMount(t)
		inside("slave", propagationOf("/mnt"), mounts("/mnt", "bind", source, "rbind", option))(t)
	}
}

// hostMount makes a shared mount on the host with another one below it.
func hostMount(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount(t, dir, "--make-shared")
	check(t, os.Mkdir(filepath.Join(dir, "below"), 0o755))
	mount(t, filepath.Join(dir, "below"), "--make-shared")
	return dir
}

func joined(lines string) string { return strings.Join(strings.Fields(lines), " ") }
