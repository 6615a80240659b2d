package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// bound is a bind of the shared folder at /probe.
func bound(change func(*mount.Mount)) func(*request) {
	return func(r *request) {
		m := mount.Mount{Type: mount.TypeBind, Source: r.w.dir, Target: "/probe", BindOptions: &mount.BindOptions{}}
		if change != nil {
			change(&m)
		}
		r.HostConfig.Mounts = []mount.Mount{m}
	}
}

// volumed is a volume at /bin, where the image has files.
func volumed(change func(*mount.Mount)) func(*request) {
	return func(r *request) {
		m := mount.Mount{Type: mount.TypeVolume, Target: "/etc", VolumeOptions: &mount.VolumeOptions{}}
		if change != nil {
			change(&m)
		}
		r.HostConfig.Mounts = []mount.Mount{m}
	}
}

func memory(change func(*mount.TmpfsOptions)) func(*request) {
	return func(r *request) {
		m := mount.Mount{Type: mount.TypeTmpfs, Target: "/probe", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20}}
		if change != nil {
			change(m.TmpfsOptions)
		}
		r.HostConfig.Mounts = []mount.Mount{m}
	}
}

const probeMount = "grep ' /probe ' /proc/self/mountinfo | sed 's/^[0-9]* [0-9]* [0-9:]* //'"

// mountProbes: files that are not the image's.
var mountProbes = []probe{
	{field: "HostConfig.Binds", does: "directories of the host, or volumes, with ro, propagation, nocopy; z and Z do nothing without SELinux", run: probeMount, want: " ro,", set: func(r *request) { r.HostConfig.Binds = []string{r.w.dir + ":/probe:ro"} }},
	{
		field: "HostConfig.VolumeDriver", does: "driver of the volumes that are made", run: probeMount, want: "/probedriver/", base: func(r *request) { r.Config.Volumes = map[string]struct{}{"/probe": {}} },
		set: func(r *request) { r.HostConfig.VolumeDriver = "probedriver" },
	},
	{field: "HostConfig.VolumeDriver", refused: "plugin", set: func(r *request) { r.HostConfig.VolumeDriver, r.HostConfig.Binds = "nobody", []string{"made:/probe"} }},
	{field: "HostConfig.VolumesFrom", does: "binds and volumes of other containers, :ro", run: "ls -d /from-other /named; touch /named/x", want: "Read-only", set: func(r *request) { r.HostConfig.VolumesFrom = []string{"other:ro"} }},
	{field: "HostConfig.Tmpfs", does: "file systems in memory, with options of mount(8)", run: probeMount, want: "size=64k", set: func(r *request) { r.HostConfig.Tmpfs = map[string]string{"/probe": "size=64k"} }},
	{field: "HostConfig.Mounts", does: "bind, volume, tmpfs, image", run: probeMount, want: "/probe", set: bound(nil)},
	{field: "Mount.Type", does: "bind, volume, tmpfs, image; cluster and npipe are refused", run: probeMount, base: bound(nil), set: memory(nil), want: "tmpfs"},
	{field: "Mount.Source", does: "what is mounted", run: "ls /probe | head -3", base: bound(nil), set: bound(func(m *mount.Mount) { m.Source = "/proc" }), want: "1"},
	{field: "Mount.Target", does: "where", run: "grep -o ' /pro[a-z]* ' /proc/mounts", base: bound(nil), set: bound(func(m *mount.Mount) { m.Target = "/pron" }), want: "/pron"},
	{field: "Mount.ReadOnly", does: "read-only, with all below where the kernel can", run: probeMount, base: bound(nil), set: bound(func(m *mount.Mount) { m.ReadOnly = true }), want: " ro,"},
	{
		field: "Mount.Consistency", does: "kept for readers: it means something on a Mac alone, as with Docker", look: inspected(func(i *container.InspectResponse) any { return i.HostConfig.Mounts[0].Consistency }),
		base: bound(nil), set: bound(func(m *mount.Mount) { m.Consistency = mount.ConsistencyCached }),
	},
	{field: "Mount.BindOptions", does: "options of a bind", run: probeMount, base: bound(nil), set: bound(func(m *mount.Mount) { m.BindOptions.Propagation = "rshared" }), want: "shared"},
	{field: "BindOptions.Propagation", does: "rprivate, private, rshared, shared, rslave, slave", run: probeMount, base: bound(nil), set: bound(func(m *mount.Mount) { m.BindOptions.Propagation = "rshared" }), want: "shared"},
	{field: "BindOptions.NonRecursive", does: "not what is mounted below", run: "grep -c ' /probe/' /proc/mounts", base: bound(procOf), set: bound(func(m *mount.Mount) { procOf(m); m.BindOptions.NonRecursive = true }), want: "0"},
	{field: "BindOptions.CreateMountpoint", does: "the source is made if it is missing", run: probeMount, base: bound(nil), set: bound(func(m *mount.Mount) { m.Source += "/made"; m.BindOptions.CreateMountpoint = true }), want: "/made"},
	{
		field: "BindOptions.ReadOnlyNonRecursive", does: "what is mounted below stays writable", run: "grep ' /probe/' /proc/mounts | grep -c ' rw,'", base: bound(func(m *mount.Mount) { procOf(m); m.ReadOnly = true }),
		set: bound(func(m *mount.Mount) { procOf(m); m.ReadOnly, m.BindOptions.ReadOnlyNonRecursive = true, true }),
	},
	{field: "BindOptions.ReadOnlyForceRecursive", does: "an error where the kernel cannot", refused: "ReadOnly", set: bound(func(m *mount.Mount) { m.BindOptions.ReadOnlyForceRecursive = true })},
	{field: "Mount.VolumeOptions", does: "options of a volume", run: "ls /etc | grep -c passwd", base: volumed(nil), set: volumed(func(m *mount.Mount) { m.VolumeOptions.NoCopy = true }), want: "0"},
	{field: "VolumeOptions.NoCopy", does: "the image's files are not copied to a new volume", run: "ls /etc | grep -c passwd", base: volumed(nil), set: volumed(func(m *mount.Mount) { m.VolumeOptions.NoCopy = true }), want: "0"},
	{
		field: "VolumeOptions.Labels", does: "labels of the volume that is made", look: volumeOf(func(w *world, name string) (string, error) {
			return w.berth("volume", "inspect", "-f", "{{.Labels}}", name)
		}),
		base: volumed(nil), set: volumed(func(m *mount.Mount) { m.VolumeOptions.Labels = map[string]string{"probe": "label"} }), want: "probe:label",
	},
	{field: "VolumeOptions.Subpath", does: "a directory of the volume, found inside it", run: "cat /proc/self/mountinfo | grep -o '[^ ]* /named2 '", base: subpath(""), set: subpath("sub"), want: "/sub /named2"},
	{field: "VolumeOptions.DriverConfig", does: "driver of the volume that is made", run: "grep -o ' /etc [a-z]*' /proc/mounts", base: volumed(nil), set: volumed(tmpfsVolume), want: "tmpfs"},
	{field: "Driver.Name", does: "local, or a plugin", run: "grep ' /etc ' /proc/self/mountinfo", want: "/probedriver/", base: volumed(nil), set: volumed(func(m *mount.Mount) { m.VolumeOptions.DriverConfig = &mount.Driver{Name: "probedriver"} })},
	{field: "Driver.Name", refused: `error looking up volume plugin nobody: plugin "nobody" not found`, set: volumed(func(m *mount.Mount) { m.VolumeOptions.DriverConfig = &mount.Driver{Name: "nobody"} })},
	{field: "Driver.Options", does: "type, device, o and size, as mount(8) knows them", run: "grep -o ' /etc [a-z]*' /proc/mounts", base: volumed(nil), set: volumed(tmpfsVolume), want: "tmpfs"},
	{field: "Mount.Type", run: "ls /probe/bin/sh; touch /probe/x", want: "/probe/bin/sh", set: with(imageMount(""))},
	{field: "Mount.ImageOptions", does: "options of an image", run: "ls /probe", base: with(imageMount("")), set: func(r *request) { r.HostConfig.Mounts[0].ImageOptions = &mount.ImageOptions{Subpath: "bin"} }, want: "sh\n"},
	{field: "ImageOptions.Subpath", does: "a directory or file of the image", run: "ls /probe", base: with(imageMount("")), set: func(r *request) { r.HostConfig.Mounts[0].ImageOptions = &mount.ImageOptions{Subpath: "etc/passwd"} }, want: "/probe\n"},
	{field: "Mount.TmpfsOptions", does: "options of a tmpfs", run: probeMount, base: memory(nil), set: memory(func(o *mount.TmpfsOptions) { o.Mode = 0o711 }), want: "mode=711"},
	{field: "TmpfsOptions.SizeBytes", does: "most bytes", run: probeMount, base: memory(nil), set: memory(func(o *mount.TmpfsOptions) { o.SizeBytes = 2 << 20 }), want: "size=2048k"},
	{field: "TmpfsOptions.Mode", does: "mode of the directory", run: "stat -c %a /probe", base: memory(nil), set: memory(func(o *mount.TmpfsOptions) { o.Mode = 0o711 }), want: "711"},
	{field: "TmpfsOptions.Options", does: "exec, noexec, and what else mount(8) knows", run: probeMount, base: memory(nil), set: memory(func(o *mount.TmpfsOptions) { o.Options = [][]string{{"exec"}} })},
}

// procOf is a mount with another one below.
func procOf(m *mount.Mount) { m.Source = "/sys" }

func imageMount(sub string) mount.Mount {
	return mount.Mount{Type: mount.TypeImage, Source: "busybox", Target: "/probe", ImageOptions: &mount.ImageOptions{Subpath: sub}}
}

func tmpfsVolume(m *mount.Mount) {
	m.VolumeOptions.DriverConfig = &mount.Driver{Name: "local", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}}
}

// subpath mounts a part of the volume of "other".
func subpath(sub string) func(*request) {
	return func(r *request) {
		out, err := r.w.berth("exec", "other", "mkdir", "-p", "/named/sub")
		if err != nil {
			panic(fmt.Sprint(err, out))
		}
		r.HostConfig.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: "ours", Target: "/named2", VolumeOptions: &mount.VolumeOptions{Subpath: sub}}}
	}
}

// volumeOf sees something of the container's first volume.
func volumeOf(part func(w *world, name string) (string, error)) func(context.Context, *world, string) (string, error) {
	return func(ctx context.Context, w *world, id string) (string, error) {
		name, err := inspected(func(i *container.InspectResponse) any { return i.Mounts[0].Name })(ctx, w, id)
		if err != nil {
			return "", err
		}
		return part(w, name)
	}
}

// hostGroup is where the host has the container's control group.
func hostGroup(_ context.Context, _ *world, id string) (string, error) {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*", "/sys/fs/cgroup/*/*/*/*", "/sys/fs/cgroup/*/*/*/*/*"} {
		found, err := filepath.Glob(filepath.Join(pattern, id))
		if err != nil {
			return "", err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return "", os.ErrNotExist
	}
	return slices.Min(all), nil
}
