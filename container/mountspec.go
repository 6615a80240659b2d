package container

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"

	"github.com/berth-engine/berth/volume"
)

// planMounts says which mounts a request asks for, checked and in a stable
// order, one per destination: --mount and -v before those of other containers,
// and these before VOLUMEs of the image. It makes nothing; volumes without a
// name still have none.
func planMounts(c *container.Config, h *container.HostConfig, others []Mount) ([]Mount, error) {
	var all []Mount
	add := func(m Mount) error {
		if slices.ContainsFunc(all, func(o Mount) bool { return o.Destination == m.Destination }) {
			return invalid("Duplicate mount point: %s", m.Destination)
		}
		all = append(all, m)
		return nil
	}
	for _, b := range h.Binds {
		m, err := parseBind(b)
		if err != nil {
			return nil, err
		}
		if err := add(m); err != nil {
			return nil, err
		}
	}
	for i := range h.Mounts {
		m, err := parseMount(&h.Mounts[i])
		if err != nil {
			return nil, err
		}
		if err := add(m); err != nil {
			return nil, err
		}
	}
	for dest, data := range h.Tmpfs {
		m, err := parseTmpfs(dest, data)
		if err != nil {
			return nil, err
		}
		if err := add(m); err != nil {
			return nil, err
		}
	}
	for _, m := range others {
		if !slices.ContainsFunc(all, func(o Mount) bool { return o.Destination == m.Destination }) {
			all = append(all, m)
		}
	}
	for dest := range c.Volumes {
		d, err := destination(dest)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(o Mount) bool { return o.Destination == d }) {
			continue
		}
		all = append(all, Mount{Type: mounttypes.TypeVolume, Anonymous: true, Destination: d})
	}
	slices.SortFunc(all, func(a, b Mount) int { return strings.Compare(a.Destination, b.Destination) })
	return all, nil
}

// destination cleans a mount point.
func destination(dest string) (string, error) {
	switch clean := path.Clean(dest); {
	case dest == "":
		return "", invalid("invalid volume specification: field Target must not be empty")
	case !path.IsAbs(dest):
		return "", invalid("invalid mount path: '%s' mount path must be absolute", dest)
	case strings.ContainsAny(dest, "\x00\n"):
		return "", invalid("invalid mount path: %q", dest)
	case clean == "/":
		return "", invalid("invalid specification: destination can't be '/'")
	default:
		return clean, nil
	}
}

// parseBind reads one element of Binds: DEST, SOURCE:DEST or SOURCE:DEST:MODE,
// where SOURCE is a path or the name of a volume.
func parseBind(raw string) (Mount, error) {
	bad := func() (Mount, error) { return Mount{}, invalid("invalid volume specification: '%s'", raw) }
	parts := strings.Split(raw, ":")
	m := Mount{}
	switch {
	case raw == "" || len(parts) > 3 || slices.Contains(parts, ""):
		return bad()
	case len(parts) == 1:
		m.Type, m.Anonymous = mounttypes.TypeVolume, true
	case path.IsAbs(parts[0]):
		m.Type, m.Source = mounttypes.TypeBind, path.Clean(parts[0])
	default:
		m.Type, m.Name = mounttypes.TypeVolume, parts[0]
		if err := volume.CheckName(m.Name); err != nil {
			return m, invalid("%v", err)
		}
	}
	dest, err := destination(parts[min(1, len(parts)-1)])
	if err != nil {
		return m, invalid("invalid volume specification: '%s': invalid mount config for type %q: %w", raw, m.Type, err)
	}
	m.Destination = dest
	if len(parts) == 3 {
		m.Mode = parts[2]
	}
	if err := m.parseMode(); err != nil {
		return m, err
	}
	if m.Type == mounttypes.TypeBind && m.Propagation == "" {
		m.Propagation = mounttypes.PropagationRPrivate
	}
	return m, nil
}

// parseMode reads "ro,rslave,nocopy". The SELinux labels z and Z have nothing
// to do on this engine, as on every host without SELinux.
func (m *Mount) parseMode() error {
	var rw, prop, copies, labels int
	for word := range strings.SplitSeq(m.Mode, ",") {
		p := mounttypes.Propagation(word)
		switch {
		case m.Mode == "":
		case word == "rw" || word == "ro":
			m.ReadOnly = word == "ro"
			rw++
		case word == "z" || word == "Z":
			labels++
		case word == "nocopy" && m.Type == mounttypes.TypeVolume:
			m.NoCopy = true
			copies++
		case m.Type == mounttypes.TypeBind && slices.Contains(mounttypes.Propagations, p):
			m.Propagation = p
			prop++
		case word == "consistent" || word == "cached" || word == "delegated":
		default:
			return invalid("invalid mode: %s", m.Mode)
		}
	}
	if max(rw, prop, copies, labels) > 1 {
		return invalid("invalid mode: %s", m.Mode)
	}
	return nil
}

// parseMount reads one element of Mounts.
func parseMount(a *mounttypes.Mount) (Mount, error) {
	dest, err := destination(a.Target)
	if err != nil {
		return Mount{}, err
	}
	m := Mount{Type: a.Type, Destination: dest, ReadOnly: a.ReadOnly}
	bad := func(why string) (Mount, error) {
		return m, invalid("invalid mount config for type %q: %s", a.Type, why)
	}
	switch a.Type {
	case mounttypes.TypeBind:
		if a.VolumeOptions != nil || a.TmpfsOptions != nil || a.ImageOptions != nil {
			return bad("field VolumeOptions or TmpfsOptions must not be specified")
		}
		return parseBindMount(m, a)
	case mounttypes.TypeVolume:
		if a.BindOptions != nil || a.TmpfsOptions != nil || a.ImageOptions != nil {
			return bad("field BindOptions or TmpfsOptions must not be specified")
		}
		return parseVolumeMount(m, a)
	case mounttypes.TypeTmpfs:
		if a.BindOptions != nil || a.VolumeOptions != nil || a.ImageOptions != nil {
			return bad("field BindOptions or VolumeOptions must not be specified")
		}
		if a.Source != "" {
			return bad("field Source must not be specified")
		}
		return parseTmpfsMount(m, a)
	case mounttypes.TypeImage:
		if a.BindOptions != nil || a.VolumeOptions != nil || a.TmpfsOptions != nil {
			return bad("field BindOptions, VolumeOptions or TmpfsOptions must not be specified")
		}
		if a.Source == "" {
			return bad("field Source must not be empty")
		}
		m.Source, m.ReadOnly = a.Source, true
		if o := a.ImageOptions; o != nil {
			m.Subpath = o.Subpath
		}
		if m.Subpath != "" && !filepath.IsLocal(m.Subpath) {
			return bad("subpath must be a relative path within the image")
		}
		return m, nil
	case mounttypes.TypeCluster:
		return m, invalid("invalid mount config for type %q: this node is not part of a cluster, which cluster volumes need", a.Type)
	default:
		return m, invalid("invalid mount config for type %q: mount type unknown: %q", a.Type, a.Type)
	}
}

func parseBindMount(m Mount, a *mounttypes.Mount) (Mount, error) {
	switch {
	case a.Source == "":
		return m, invalid("invalid mount config for type \"bind\": field Source must not be empty")
	case !path.IsAbs(a.Source):
		return m, invalid("invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute", a.Source)
	}
	m.Source, m.Propagation = path.Clean(a.Source), mounttypes.PropagationRPrivate
	o := a.BindOptions
	if o == nil {
		o = &mounttypes.BindOptions{}
	}
	if o.Propagation != "" {
		if !slices.Contains(mounttypes.Propagations, o.Propagation) {
			return m, invalid("invalid mount config for type \"bind\": invalid propagation mode: %s", o.Propagation)
		}
		m.Propagation = o.Propagation
	}
	m.NonRecursive, m.ReadOnlyNonRecursive, m.ReadOnlyForceRecursive = o.NonRecursive, o.ReadOnlyNonRecursive, o.ReadOnlyForceRecursive
	if (o.ReadOnlyNonRecursive || o.ReadOnlyForceRecursive) && !a.ReadOnly || o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive {
		return m, invalid("invalid mount config for type \"bind\": mode of recursive read-only conflicts with ReadOnly")
	}
	// --mount, unlike -v, wants the source to be there.
	if _, err := os.Stat(m.Source); err != nil && !o.CreateMountpoint {
		return m, invalid("invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source)
	}
	return m, nil
}

func parseVolumeMount(m Mount, a *mounttypes.Mount) (Mount, error) {
	m.Name, m.Anonymous = a.Source, a.Source == ""
	if !m.Anonymous {
		if err := volume.CheckName(m.Name); err != nil {
			return m, invalid("%v", err)
		}
	}
	o := a.VolumeOptions
	if o == nil {
		return m, nil
	}
	m.NoCopy, m.Subpath = o.NoCopy, o.Subpath
	if m.Subpath != "" && (path.IsAbs(m.Subpath) || m.Subpath != path.Clean(m.Subpath) || strings.HasPrefix(m.Subpath, "..")) {
		return m, invalid("invalid mount config for type \"volume\": subpath must be a relative path within the volume")
	}
	if m.Subpath != "" && m.Anonymous {
		return m, invalid("invalid mount config for type \"volume\": must not set Subpath when using anonymous volumes")
	}
	return m, nil
}

func parseTmpfsMount(m Mount, a *mounttypes.Mount) (Mount, error) {
	var words []string
	if a.ReadOnly {
		words = append(words, "ro")
	}
	if o := a.TmpfsOptions; o != nil {
		if o.SizeBytes < 0 {
			return m, invalid("invalid mount config for type \"tmpfs\": size must not be negative")
		}
		if o.SizeBytes > 0 {
			words = append(words, "size="+strconv.FormatInt(o.SizeBytes, 10))
		}
		if o.Mode != 0 {
			words = append(words, "mode="+strconv.FormatUint(uint64(o.Mode), 8))
		}
		for _, pair := range o.Options {
			words = append(words, strings.Join(pair, "="))
		}
	}
	return parseTmpfs(m.Destination, strings.Join(words, ","))
}

var tmpfsFlags = []string{
	"ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "relatime", "norelatime",
	"strictatime", "nostrictatime", "diratime", "nodiratime", "private", "rprivate", "shared", "rshared", "slave", "rslave",
}

var tmpfsData = []string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}

// parseTmpfs reads the options of a tmpfs as mount(8) knows them. Without
// others it may not hold programs, set-uid files or devices.
func parseTmpfs(dest, data string) (Mount, error) {
	dest, err := destination(dest)
	if err != nil {
		return Mount{}, err
	}
	m := Mount{Type: mounttypes.TypeTmpfs, Destination: dest, Mode: data, TmpfsOptions: []string{"noexec", "nosuid", "nodev"}}
	for word := range strings.SplitSeq(data, ",") {
		key, value, hasValue := strings.Cut(word, "=")
		switch {
		case word == "" || word == "defaults":
		case !hasValue && slices.Contains(tmpfsFlags, word):
			m.TmpfsOptions = append(m.TmpfsOptions, word)
			if word == "ro" || word == "rw" {
				m.ReadOnly = word == "ro"
			}
		case hasValue && value != "" && slices.Contains(tmpfsData, key):
			m.TmpfsOptions = append(m.TmpfsOptions, word)
		default:
			return m, invalid("Invalid tmpfs option %q", word)
		}
	}
	return m, nil
}
