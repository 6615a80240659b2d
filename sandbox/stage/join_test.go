package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestTimeNamespace(t *testing.T) {
	noLeak(t)
	for _, user := range []bool{false, true} {
		spec := defaultSpec("/probe", "read", "/proc/uptime", "/proc/self/timens_offsets")
		if user {
			spec = userSpec(spec.Process.Args...)
		}
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
		spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000000, Nanosecs: 5}, "monotonic": {Secs: -1}}
		b := newBox(t, spec)
		if user {
			b.owner = base
		}
		out, code := b.run()
		if code != 0 || strings.Join(strings.Fields(strings.ReplaceAll(out[strings.Index(out, "timens"):], `\n`, " ")), " ") != `timens_offsets "monotonic -1 0 boottime 1000000 5 " <nil>` {
			t.Errorf("exit %d: %s", code, out)
		}
		uptime, _, _ := strings.Cut(strings.TrimPrefix(out, `/proc/uptime "`), ".")
		if n, err := strconv.Atoi(uptime); err != nil || n < 1000000 {
			t.Errorf("uptime %s", out)
		}
	}
}

func TestTimeNamespaceJoined(t *testing.T) {
	spec := defaultSpec("/probe", "pause")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	a := newBox(t, spec)
	must(t, a.spawn())
	if link(t, a.process.Pid, "time") == link(t, os.Getpid(), "time") {
		t.Error("the host's time namespace")
	}
	for _, user := range []bool{false, true} {
		spec := defaultSpec("/probe", "pause")
		if user {
			spec = userSpec(spec.Process.Args...)
		}
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time", Path: fmt.Sprintf("/proc/%d/ns/time", a.process.Pid)})
		b := newBox(t, spec)
		if user {
			b.owner = base
		}
		must(t, b.spawn())
		for _, kind := range []string{"time", "time_for_children"} {
			if link(t, a.process.Pid, "time") != link(t, b.process.Pid, kind) {
				t.Errorf("%s is not the joined one", kind)
			}
		}
	}
}

func TestTimeContradictions(t *testing.T) {
	own := specs.LinuxNamespace{Type: "time"}
	for want, c := range map[string]struct {
		time    *specs.LinuxNamespace
		offsets map[string]specs.LinuxTimeOffset
	}{
		"need a time namespace":   {nil, map[string]specs.LinuxTimeOffset{"boottime": {}}},
		"not for one that is":     {&specs.LinuxNamespace{Type: "time", Path: "/proc/self/ns/time"}, map[string]specs.LinuxTimeOffset{"boottime": {}}},
		`no clock "realtime"`:     {&own, map[string]specs.LinuxTimeOffset{"realtime": {}}},
		"more than a second":      {&own, map[string]specs.LinuxTimeOffset{"boottime": {Nanosecs: 1e9}}},
		"would leave its range: ": {&own, map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -1 << 40}}},
	} {
		spec := defaultSpec("/probe")
		if c.time != nil {
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, *c.time)
		}
		spec.Linux.TimeOffsets = c.offsets
		err := newBox(t, spec).spawn()
		var e *InvalidSpecError
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &e) && !strings.Contains(want, "range") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A path that is missing or of another kind is an error that says so, for every
// kind of namespace.
func TestJoinErrors(t *testing.T) {
	noLeak(t)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for _, kind := range []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "cgroup", "mount", "user", "time"} {
		other := "/proc/self/ns/ipc"
		if kind == "ipc" {
			other = "/proc/self/ns/uts"
		}
		for path, want := range map[string]string{
			"/nosuch": "/nosuch: no such file", file: file + " is not a namespace", other: other + " is a ", "ns/x": "is not absolute",
		} {
			spec := defaultSpec("/probe")
			spec.Hostname = ""
			spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}}
			switch kind {
			case "mount", "pid":
				spec.Linux.Namespaces = spec.Linux.Namespaces[:1]
				if kind == "mount" {
					spec.Linux.Namespaces = nil
				}
			}
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
			err := newBox(t, spec).spawn()
			if err == nil || !strings.Contains(err.Error(), want) || want != "is not absolute" && !strings.Contains(err.Error(), string(kind)+" namespace") {
				t.Errorf("%s at %s: %v", kind, path, err)
			}
		}
	}
}

// Settings of the host are not made by way of a path to its namespaces.
func TestJoinedHost(t *testing.T) {
	for want, change := range map[string]func(s *specs.Spec){
		"without a private UTS namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "uts", Path: "/proc/self/ns/uts"}}
		},
		`sysctl "net.ipv4.ip_forward" is not allowed`: func(s *specs.Spec) {
			s.Hostname = ""
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "network", Path: "/proc/self/ns/net"}}
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		},
	} {
		spec := defaultSpec("/probe")
		change(spec)
		var e *InvalidSpecError
		if err := newBox(t, spec).spawn(); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A container in the mount namespace of others takes the place of what is
// mounted there; in the host's it would be the host that is gone.
func TestMountNamespaceJoined(t *testing.T) {
	noLeak(t)
	a := newBox(t, defaultSpec("/probe", "pause"))
	must(t, a.spawn())
	must(t, a.process.Start())
	volume := t.TempDir()
	must(t, os.WriteFile(filepath.Join(volume, "file"), nil, 0o644))
	spec := defaultSpec("/probe", "stat", "/etc/here", "/v/file", "/proc/keys", "/dev/null")
	spec.Linux.Namespaces[0].Path = fmt.Sprintf("/proc/%d/ns/mnt", a.process.Pid)
	spec.Mounts = append(spec.Mounts, bindMount(volume, "/v"))
	b := newBox(t, spec)
	must(t, os.WriteFile(filepath.Join(b.dir, "etc/here"), nil, 0o644))
	must(t, b.spawn())
	if link(t, a.process.Pid, "mnt") != link(t, b.process.Pid, "mnt") {
		t.Error("not joined")
	}
	must(t, b.process.Start())
	if code := b.wait(); code != 0 || b.stdout.String() != "/etc/here 100644 0:0\n/v/file 100644 0:0\n/proc/keys 20666 1:3\n/dev/null 20666 1:3\n" {
		t.Errorf("exit %d: %s", code, b.stdout.String())
	}
	for _, host := range []string{"/proc/self/ns/mnt", "/proc/1/ns/mnt"} {
		spec.Linux.Namespaces[0].Path = host
		err := newBox(t, spec).spawn()
		if _, look := os.Stat(host); errors.Is(look, os.ErrPermission) {
			if err == nil { // nobody may look at this host's process 1, nor join it
				t.Errorf("%s was joined", host)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "is the host's") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Error(err)
	}
}

// The same with its user namespace.
func TestMountAndUserNamespaceJoined(t *testing.T) {
	a := newUserBox(t, userSpec("/probe", "pause"))
	must(t, a.spawn())
	must(t, a.process.Start())
	volume := t.TempDir()
	must(t, os.WriteFile(filepath.Join(volume, "file"), nil, 0o644))
	spec := defaultSpec("/probe", "stat", "/v/file", "/proc/keys")
	spec.Linux.Namespaces[0].Path = fmt.Sprintf("/proc/%d/ns/mnt", a.process.Pid)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user", Path: fmt.Sprintf("/proc/%d/ns/user", a.process.Pid)})
	spec.Mounts = append(spec.Mounts, bindMount(volume, "/v"))
	b := newUserBox(t, spec)
	must(t, b.spawn())
	for _, kind := range []string{"mnt", "user"} {
		if link(t, a.process.Pid, kind) != link(t, b.process.Pid, kind) {
			t.Errorf("%s is not joined", kind)
		}
	}
	must(t, b.process.Start())
	if code := b.wait(); code != 0 || b.stdout.String() != "/v/file 100644 65534:65534\n/proc/keys 20666 1:3\n" && b.stdout.String() != "/v/file 100644 0:0\n/proc/keys 20666 1:3\n" {
		t.Errorf("exit %d: %s", code, b.stdout.String())
	}
}
