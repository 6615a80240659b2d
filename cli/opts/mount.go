package opts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/mount"
)

// Mounts collects --mount flags.
type Mounts struct{ Values []mount.Mount }

// Set parses one comma separated --mount value.
func (m *Mounts) Set(s string) error {
	v, err := ParseMount(s)
	if err != nil {
		return err
	}
	m.Values = append(m.Values, v)
	return nil
}

// String is empty for no mounts.
func (m *Mounts) String() string {
	var out []string
	for _, v := range m.Values {
		out = append(out, fmt.Sprintf("%s %s %s", v.Type, v.Source, v.Target))
	}
	return strings.Join(out, ", ")
}

// Type names the value in help texts.
func (*Mounts) Type() string { return "mount" }

// ParseMount parses type=…,source=…,target=… with all of Docker's keys.
func ParseMount(s string) (mount.Mount, error) {
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return mount.Mount{}, err
	}
	m := mount.Mount{Type: mount.TypeVolume}
	for _, field := range fields {
		key, val, ok := strings.Cut(field, "=")
		key = strings.ToLower(key)
		if !ok {
			switch key {
			case "readonly", "ro", "volume-nocopy", "bind-nonrecursive":
				val = "true"
			default:
				return m, fmt.Errorf("invalid field '%s' must be a key=value pair", field)
			}
		}
		if err := setMountKey(&m, key, val, field); err != nil {
			return m, err
		}
	}
	return m, checkMount(&m)
}

func setMountKey(m *mount.Mount, key, val, field string) (err error) {
	switch key {
	case "type":
		m.Type = mount.Type(strings.ToLower(val))
	case "source", "src":
		m.Source = val
		if strings.HasPrefix(val, ".") {
			m.Source, err = filepath.Abs(val)
		}
	case "target", "dst", "destination":
		m.Target = val
	case "readonly", "ro":
		m.ReadOnly, err = mountBool(key, val)
	case "consistency":
		m.Consistency = mount.Consistency(strings.ToLower(val))
	default:
		kind, _, _ := strings.Cut(key, "-")
		switch kind {
		case "bind":
			return setBindKey(m, key, val, field)
		case "volume":
			return setVolumeKey(m, key, val, field)
		case "image":
			if key != "image-subpath" {
				return unexpectedKey(key, field)
			}
			m.ImageOptions = &mount.ImageOptions{Subpath: val}
		case "tmpfs":
			return setTmpfsKey(m, key, val, field)
		default:
			return unexpectedKey(key, field)
		}
	}
	return err
}

func setBindKey(m *mount.Mount, key, val, field string) (err error) {
	if m.BindOptions == nil {
		m.BindOptions = &mount.BindOptions{}
	}
	o := m.BindOptions
	switch key {
	case "bind-propagation":
		o.Propagation = mount.Propagation(strings.ToLower(val))
	case "bind-nonrecursive":
		o.NonRecursive, err = mountBool(key, val)
	case "bind-recursive":
		switch val {
		case "enabled":
		case "disabled":
			o.NonRecursive = true
		case "writable":
			o.ReadOnlyNonRecursive = true
		case "readonly":
			o.ReadOnlyForceRecursive = true
		default:
			return fmt.Errorf(`invalid value for %s: %s (must be "enabled", "disabled", "writable", or "readonly")`, key, val)
		}
	default:
		return unexpectedKey(key, field)
	}
	return err
}

func setVolumeKey(m *mount.Mount, key, val, field string) (err error) {
	if m.VolumeOptions == nil {
		m.VolumeOptions = &mount.VolumeOptions{Labels: map[string]string{}, DriverConfig: &mount.Driver{}}
	}
	o := m.VolumeOptions
	switch key {
	case "volume-subpath":
		o.Subpath = val
	case "volume-nocopy":
		if o.NoCopy, err = strconv.ParseBool(val); err != nil {
			return fmt.Errorf("invalid value for volume-nocopy: %s", val)
		}
	case "volume-label":
		if k, v, _ := strings.Cut(val, "="); k != "" {
			o.Labels[k] = v
		}
	case "volume-driver":
		o.DriverConfig.Name = val
	case "volume-opt":
		if o.DriverConfig.Options == nil {
			o.DriverConfig.Options = map[string]string{}
		}
		if k, v, _ := strings.Cut(val, "="); k != "" {
			o.DriverConfig.Options[k] = v
		}
	default:
		return unexpectedKey(key, field)
	}
	return nil
}

func setTmpfsKey(m *mount.Mount, key, val, field string) error {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &mount.TmpfsOptions{}
	}
	switch key {
	case "tmpfs-size":
		n, err := units.RAMInBytes(val)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, val)
		}
		m.TmpfsOptions.SizeBytes = n
	case "tmpfs-mode":
		n, err := strconv.ParseUint(val, 8, 32)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, val)
		}
		m.TmpfsOptions.Mode = os.FileMode(n)
	default:
		return unexpectedKey(key, field)
	}
	return nil
}

func checkMount(m *mount.Mount) error {
	switch {
	case m.Type == "":
		return errors.New("type is required")
	case m.Target == "":
		return errors.New("target is required")
	case m.VolumeOptions != nil && m.Type != mount.TypeVolume:
		return fmt.Errorf("cannot mix 'volume-*' options with mount type '%s'", m.Type)
	case m.ImageOptions != nil && m.Type != mount.TypeImage:
		return fmt.Errorf("cannot mix 'image-*' options with mount type '%s'", m.Type)
	case m.BindOptions != nil && m.Type != mount.TypeBind:
		return fmt.Errorf("cannot mix 'bind-*' options with mount type '%s'", m.Type)
	case m.TmpfsOptions != nil && m.Type != mount.TypeTmpfs:
		return fmt.Errorf("cannot mix 'tmpfs-*' options with mount type '%s'", m.Type)
	}
	if b := m.BindOptions; b != nil {
		if b.ReadOnlyNonRecursive && !m.ReadOnly {
			return errors.New("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
		}
		if b.ReadOnlyForceRecursive && !m.ReadOnly {
			return errors.New("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
		}
		if b.ReadOnlyForceRecursive && b.Propagation != mount.PropagationRPrivate {
			return errors.New("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
		}
	}
	return nil
}

func mountBool(key, val string) (bool, error) {
	b, err := strconv.ParseBool(val)
	if err != nil {
		return false, fmt.Errorf("invalid value for %s: %s", key, val)
	}
	return b, nil
}

func unexpectedKey(key, field string) error {
	return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
}
