package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	moby "github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// hostProbes: what a container is on this host.
var hostProbes = []probe{
	{
		field: "HostConfig.ContainerIDFile", does: "kept for readers: the client writes the file, as Docker's", want: "same\n/",
		typed: [2]string{
			`docker create --name uncid busybox >/dev/null; docker inspect -f '{{.HostConfig.ContainerIDFile}}' uncid; docker rm uncid >/dev/null`,
			`f=$(mktemp -u); docker create --cidfile $f --name cid busybox >/dev/null; [ $(cat $f) = $(docker inspect -f '{{.Id}}' cid) ] && echo same; docker inspect -f '{{.HostConfig.ContainerIDFile}}' cid; rm $f; docker rm cid >/dev/null`,
		},
	},
	{field: "HostConfig.LogConfig", does: "the log driver", base: saying, look: said, want: "does not support reading", set: func(r *request) { r.HostConfig.LogConfig.Type = "none" }},
	{field: "LogConfig.Type", does: "local (default), json-file, none, syslog, journald, fluentd, gelf", base: func(r *request) { saying(r); r.HostConfig.LogConfig.Type = "none" }, look: logFile, set: func(r *request) { r.HostConfig.LogConfig.Type = "json-file" }, want: `{"log":"said\n"`},
	{
		field: "LogConfig.Config", does: "options of the driver", base: func(r *request) { saying(r); r.HostConfig.LogConfig.Type = "json-file" },
		look: logFile, want: `"tag":"probed"`, set: func(r *request) { r.HostConfig.LogConfig.Config = map[string]string{"tag": "probed"} },
	},
	{field: "HostConfig.RestartPolicy", does: "when to start again", base: func(r *request) { r.Config.Cmd = []string{"false"} }, look: restarts, want: "again", set: func(r *request) { r.HostConfig.RestartPolicy.Name = "always" }},
	{field: "RestartPolicy.Name", does: "no, always, unless-stopped, on-failure", base: func(r *request) { r.Config.Cmd = []string{"false"} }, look: restarts, want: "again", set: func(r *request) { r.HostConfig.RestartPolicy.Name = "on-failure" }},
	{field: "RestartPolicy.MaximumRetryCount", does: "how often on-failure starts again", base: func(r *request) {
		r.Config.Cmd = []string{"false"}
		r.HostConfig.RestartPolicy = container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 1}
	}, look: retries, want: "3", set: func(r *request) { r.HostConfig.RestartPolicy.MaximumRetryCount = 3 }},
	{field: "HostConfig.AutoRemove", does: "the container goes when it has ended", base: func(r *request) { r.Config.Cmd = []string{"true"} }, look: removed, want: "gone", set: func(r *request) { r.HostConfig.AutoRemove = true }},
	{field: "HostConfig.ConsoleSize", does: "first size of the terminal", run: "stty size", base: func(r *request) { r.Config.Tty = true }, want: "33 77", set: func(r *request) { r.HostConfig.ConsoleSize = [2]uint{33, 77} }},
	{
		field: "HostConfig.Annotations", does: "annotations of the OCI specification, for the runtime; shown by inspect", base: func(r *request) { r.HostConfig.Runtime = "recorded" }, look: recorded, want: `"probe.org/a":"b"`,
		set: func(r *request) { r.HostConfig.Annotations = map[string]string{"probe.org/a": "b"} },
	},
	{field: "HostConfig.CapAdd", does: "capabilities more", run: "grep CapBnd /proc/self/status", set: func(r *request) { r.HostConfig.CapAdd = []string{"SYS_ADMIN"} }},
	{field: "HostConfig.CapDrop", does: "capabilities less", run: "grep CapBnd /proc/self/status", want: "CapBnd:\t0000000000000000", set: func(r *request) { r.HostConfig.CapDrop = []string{"ALL"} }},
	{field: "HostConfig.GroupAdd", does: "further groups, looked up in the image", run: "id -G", want: "77", set: func(r *request) { r.HostConfig.GroupAdd = []string{"77"} }},
	{field: "HostConfig.OomScoreAdj", does: "oom_score_adj", run: "cat /proc/self/oom_score_adj", want: "700", set: func(r *request) { r.HostConfig.OomScoreAdj = 700 }},
	{field: "HostConfig.Privileged", does: "all capabilities and devices, nothing masked, no seccomp", run: "grep -E 'CapBnd|Seccomp:' /proc/self/status", want: "Seccomp:\t0", set: func(r *request) { r.HostConfig.Privileged = true }},
	{field: "HostConfig.ReadonlyRootfs", does: "nothing is written but in mounts", run: "touch /probe; echo $?", want: "Read-only", set: func(r *request) { r.HostConfig.ReadonlyRootfs = true }},
	{field: "HostConfig.SecurityOpt", does: "no-new-privileges, seccomp=, systempaths=unconfined, writable-cgroups=, apparmor=, label=; see security.md", run: "grep Seccomp: /proc/self/status", want: "0", set: func(r *request) { r.HostConfig.SecurityOpt = []string{"seccomp=unconfined"} }},
	{field: "HostConfig.SecurityOpt", run: "grep NoNewPrivs /proc/self/status", want: "1", set: func(r *request) { r.HostConfig.SecurityOpt = []string{"no-new-privileges"} }},
	{field: "HostConfig.SecurityOpt", run: "grep ' /sys/fs/cgroup' /proc/mounts | tail -1 | grep -o ' rw,nosuid'", want: "rw", set: func(r *request) { r.HostConfig.SecurityOpt = []string{"writable-cgroups=true"} }},
	{field: "HostConfig.SecurityOpt", refused: "apparmor", set: func(r *request) { r.HostConfig.SecurityOpt = []string{"apparmor=no-such-profile"} }},
	{field: "HostConfig.SecurityOpt", refused: "SELinux labels", set: func(r *request) { r.HostConfig.SecurityOpt = []string{"label=type:x"} }},
	{
		field: "HostConfig.StorageOpt", does: "size: how much may be written besides the volumes, where the data-root has project quotas (ext4, xfs)", run: "df -k / | awk 'END {print $2}'", want: "8192",
		or: "supported only for overlay over xfs or ext4 with project quotas: .*: (give|mount|put)", set: func(r *request) { r.HostConfig.StorageOpt = map[string]string{"size": "8m"} },
	},
	{field: "HostConfig.StorageOpt", refused: "Unknown option inodes", set: func(r *request) { r.HostConfig.StorageOpt = map[string]string{"inodes": "8"} }},
	{field: "HostConfig.Sysctls", does: "sysctls of the container's namespaces", run: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", want: "77", set: func(r *request) {
		r.HostConfig.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77"}
	}},
	{field: "HostConfig.Runtime", does: "a runtime of daemon.json; runc is how clients name the default", look: recorded, want: "recorded: ", set: func(r *request) { r.HostConfig.Runtime = "recorded" }},
	{field: "HostConfig.Runtime", refused: "unknown or invalid runtime name: kata", set: func(r *request) { r.HostConfig.Runtime = "kata" }},
	{field: "HostConfig.Umask", does: "umask of process 1 and of execs", run: "umask", want: "0027", set: func(r *request) { mask := uint32(0o27); r.HostConfig.Umask = &mask }},
	{field: "HostConfig.MaskedPaths", does: "what is hidden in /proc and /sys", run: "wc -c < /proc/version", want: "0", set: func(r *request) { r.HostConfig.MaskedPaths = []string{"/proc/version"} }},
	{field: "HostConfig.ReadonlyPaths", does: "what is not written to in /proc and /sys", run: "grep -c ' /proc/sys ' /proc/mounts", want: "0", set: func(r *request) { r.HostConfig.ReadonlyPaths = []string{} }},
	{field: "HostConfig.Init", does: "process 1 reaps; it is the sandbox's own", run: "echo $$", set: func(r *request) { yes := true; r.HostConfig.Init = &yes }},
	{field: "Ulimit.Name", does: "any that the kernel has", run: "ulimit -c", base: func(r *request) {
		r.HostConfig.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 51200, Hard: 51200}}
	}, set: func(r *request) { r.HostConfig.Ulimits[0].Name = "core" }},
	{field: "Ulimit.Soft", does: "soft limit", run: "ulimit -S -n", base: func(r *request) { r.HostConfig.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 50, Hard: 60}} }, want: "55", set: func(r *request) { r.HostConfig.Ulimits[0].Soft = 55 }},
	{field: "Ulimit.Hard", does: "hard limit", run: "ulimit -H -n", base: func(r *request) { r.HostConfig.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 50, Hard: 60}} }, want: "55", set: func(r *request) { r.HostConfig.Ulimits[0].Hard = 55 }},
}

// namespaceProbes: what a container shares.
var namespaceProbes = []probe{
	{field: "HostConfig.CgroupnsMode", does: "private (default), host", run: "cat /proc/self/cgroup", set: func(r *request) { r.HostConfig.CgroupnsMode = "host" }},
	{field: "HostConfig.PidMode", does: "host, container:", run: "ls -d /proc/[0-9]* | wc -l", set: func(r *request) { r.HostConfig.PidMode = "host" }},
	{field: "HostConfig.PidMode", run: "tr '\\0' ' ' < /proc/1/cmdline", want: "sleep 100000", set: func(r *request) { r.HostConfig.PidMode = "container:other" }},
	{field: "HostConfig.IpcMode", does: "private (default), shareable, container:, host, none", run: "cat /dev/shm/word", want: "shared", set: func(r *request) { r.HostConfig.IpcMode = "container:other" }},
	{field: "HostConfig.IpcMode", run: "grep -c ' /dev/shm ' /proc/mounts", want: "0", set: func(r *request) { r.HostConfig.IpcMode = "none" }},
	{field: "HostConfig.IpcMode", run: "readlink /proc/self/ns/ipc", set: func(r *request) { r.HostConfig.IpcMode = "host" }},
	{field: "HostConfig.UTSMode", does: "host", run: "readlink /proc/self/ns/uts; hostname", base: func(r *request) { r.HostConfig.NetworkMode = "host" }, set: func(r *request) { r.HostConfig.UTSMode = "host" }},
	{field: "HostConfig.ShmSize", does: "size of /dev/shm; 64 MiB", run: "df -k /dev/shm | tail -1 | awk '{print $2}'", want: "1024", set: func(r *request) { r.HostConfig.ShmSize = 1 << 20 }},
	{field: "HostConfig.NetworkMode", does: "bridge, none, host, container:, a network", run: "readlink /proc/self/ns/net; ls /sys/class/net", set: func(r *request) { r.HostConfig.NetworkMode = "none" }},
	{field: "HostConfig.NetworkMode", run: "cat /etc/hostname", want: "otherhost", set: func(r *request) { r.HostConfig.NetworkMode = "container:other" }},
}

// shell runs a line of a shell that finds the clients.
func (w *world) shell(line string) (string, error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), w.d.Environ()...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) berth(args ...string) (string, error) {
	bin := strings.TrimPrefix(w.d.Environ()[2], "PATH=")
	dir, _, _ := strings.Cut(bin, ":")
	cmd := exec.Command(filepath.Join(dir, "berth"), args...)
	cmd.Env = append(os.Environ(), w.d.Environ()...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// until runs a command in the container again and again until it is true.
func (w *world) until(ctx context.Context, id, cmd string) error {
	for {
		out, code, err := execIn(ctx, w.c, id, "sh", "-c", cmd)
		if err != nil || code == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %s", cmd, ctx.Err(), out)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// saying is a container that says something and ends.
func saying(r *request) { r.Config.Cmd = []string{"echo", "said"} }

// removed waits until the container has ended or is gone.
func removed(ctx context.Context, w *world, id string) (string, error) {
	wait := w.c.ContainerWait(ctx, id, moby.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-wait.Result:
	case <-wait.Error: // gone already
	}
	if _, err := w.c.ContainerInspect(ctx, id, moby.ContainerInspectOptions{}); err == nil {
		// The removal is asynchronous, but nothing but --rm removes it.
		wait := w.c.ContainerWait(ctx, id, moby.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		select {
		case <-wait.Result:
		case <-wait.Error:
		case <-short.Done():
			return "here", nil
		}
	}
	return "gone", nil
}

func makeNode(t *testing.T, path string, major, minor int) string {
	t.Helper()
	if err := syscall.Mknod(path, syscall.S_IFBLK|0o600, int(unix.Mkdev(uint32(major), uint32(minor)))); err != nil {
		t.Fatal(err)
	}
	return path
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
