package container

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/kernel/mount"
)

// devices resolves the device nodes that a container gets.
func devices(h *container.HostConfig) ([]spec.Device, error) {
	var out []spec.Device
	if h.Privileged {
		all, err := devicesBelow("/dev", "/dev", "rwm", true)
		if err != nil {
			return nil, err
		}
		out = all
	}
	for _, m := range h.Devices {
		access := m.CgroupPermissions
		if access == "" {
			access = "rwm"
		}
		if strings.Trim(access, "rwm") != "" {
			return nil, invalid("invalid device mode: %s", access)
		}
		in := m.PathInContainer
		if in == "" {
			in = m.PathOnHost
		}
		host, err := filepath.EvalSymlinks(m.PathOnHost)
		if err != nil {
			return nil, invalid("error gathering device information while adding custom device %q: no such file or directory", m.PathOnHost)
		}
		info, err := os.Stat(host)
		if err != nil {
			return nil, invalid("error gathering device information while adding custom device %q: %w", m.PathOnHost, err)
		}
		if info.IsDir() {
			below, err := devicesBelow(host, in, access, false)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
			continue
		}
		d, ok := device(info, in, access)
		if !ok {
			return nil, invalid("error gathering device information while adding custom device %q: not a device node", m.PathOnHost)
		}
		out = append(out, d)
	}
	return out, nil
}

// notForPrivileged is what a container has of its own in /dev.
var notForPrivileged = []string{"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx"}

func devicesBelow(host, in, access string, skipOwn bool) ([]spec.Device, error) {
	var out []spec.Device
	err := filepath.WalkDir(host, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, own := range notForPrivileged {
			if skipOwn && path == own {
				if entry.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
		}
		if entry.Type()&os.ModeDevice == 0 {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil // it went away
		}
		if err != nil {
			return err
		}
		if d, ok := device(info, filepath.Join(in, strings.TrimPrefix(path, host)), access); ok {
			out = append(out, d)
		}
		return nil
	})
	return out, err
}

func device(info os.FileInfo, in, access string) (spec.Device, bool) {
	st, ok := mount.StatOf(info)
	if !ok || info.Mode()&os.ModeDevice == 0 {
		return spec.Device{}, false
	}
	kind := "b"
	if info.Mode()&os.ModeCharDevice != 0 {
		kind = "c"
	}
	mode := info.Mode().Perm()
	return spec.Device{Access: access, LinuxDevice: specs.LinuxDevice{
		Path: in, Type: kind, Major: int64(st.Major), Minor: int64(st.Minor),
		FileMode: &mode, UID: &st.UID, GID: &st.GID,
	}}, true
}

// blkio resolves the devices of I/O limits.
func blkio(h *container.HostConfig) (b spec.Blkio, err error) {
	for _, w := range h.BlkioWeightDevice {
		major, minor, err := number(w.Path)
		if err != nil {
			return b, err
		}
		d := specs.LinuxWeightDevice{Weight: &w.Weight}
		d.Major, d.Minor = major, minor
		b.Weight = append(b.Weight, d)
	}
	for _, t := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{h.BlkioDeviceReadBps, &b.ReadBps},
		{h.BlkioDeviceWriteBps, &b.WriteBps},
		{h.BlkioDeviceReadIOps, &b.ReadIOps},
		{h.BlkioDeviceWriteIOps, &b.WriteIOps},
	} {
		for _, d := range t.from {
			major, minor, err := number(d.Path)
			if err != nil {
				return b, err
			}
			td := specs.LinuxThrottleDevice{Rate: d.Rate}
			td.Major, td.Minor = major, minor
			*t.to = append(*t.to, td)
		}
	}
	return b, nil
}

func number(path string) (major, minor int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, invalid("%v", err)
	}
	st, ok := mount.StatOf(info)
	if !ok || info.Mode()&os.ModeDevice == 0 {
		return 0, 0, invalid("%s is not a device", path)
	}
	return int64(st.Major), int64(st.Minor), nil
}
