package stage

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// codec writes or reads values in one order, so that one function describes
// both directions. A value that is written is not touched: others may be reading it. The init stage cannot afford encoding/json for a Spec: to
// read two kilobytes, it first studies a hundred types (0.45 ms, as long as
// all mounts take).
//
// Numbers are varints, strings and lists have their length in front. Both ends
// are the same binary; nothing of this is kept.
type codec struct {
	b       []byte
	reading bool
	err     error
}

var errCodec = errors.New("malformed message")

// encode and decode run a description.
func encode(describe func(*codec)) []byte {
	c := codec{b: make([]byte, 0, 4096)}
	describe(&c)
	return c.b
}

func decode(b []byte, describe func(*codec)) error {
	c := codec{b: b, reading: true}
	describe(&c)
	if c.err == nil && len(c.b) != 0 {
		c.err = errCodec
	}
	return c.err
}

func (c *codec) number(v *uint64) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, *v)
		return
	}
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.b, c.err = nil, errCodec
		return
	}
	*v, c.b = n, c.b[size:]
}

// integer is any integer type; the cast keeps all bits both ways.
type integer interface {
	~int | ~int32 | ~int64 | ~uint | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

func num[T integer](c *codec, v *T) {
	n := uint64(*v)
	c.number(&n)
	if c.reading {
		*v = T(n)
	}
}

func (c *codec) flag(v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	c.number(&n)
	if c.reading {
		*v = n == 1
	}
}

func (c *codec) str(v *string) {
	n := len(*v)
	c.length(&n)
	if !c.reading {
		c.b = append(c.b, *v...)
		return
	}
	*v, c.b = string(c.b[:n]), c.b[n:]
}

// length is a count of things of at least one byte each, which bounds it.
func (c *codec) length(n *int) {
	num(c, n)
	if c.reading && (*n < 0 || *n > len(c.b)) {
		*n, c.b, c.err = 0, nil, errCodec
	}
}

// list describes a list by its element.
func list[T any](c *codec, v *[]T, element func(*codec, *T)) {
	n := len(*v)
	c.length(&n)
	if c.reading {
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range n {
		element(c, &(*v)[i])
	}
}

// option describes a pointer that may be nil.
func option[T any](c *codec, v **T, element func(*codec, *T)) {
	there := *v != nil
	c.flag(&there)
	if c.reading {
		*v = nil
		if there {
			*v = new(T)
		}
	}
	if !there {
		return
	}
	element(c, *v)
}

func pairs(c *codec, m *map[string]string) {
	keys := slices.Sorted(maps.Keys(*m))
	list(c, &keys, (*codec).str)
	if c.reading && len(keys) > 0 {
		*m = make(map[string]string, len(keys))
	}
	for _, k := range keys {
		value := (*m)[k]
		c.str(&value)
		if c.reading {
			(*m)[k] = value
		}
	}
}

func (o *order) describe(c *codec) {
	c.flag(&o.NetNS)
	c.flag(&o.CgroupNS)
	c.flag(&o.NewNet)
	c.flag(&o.Notify)
	c.flag(&o.LimitsFirst)
	list(c, &o.Join, describeJoined)
	c.str(&o.MountNS)
	c.flag(&o.Opened)
	o.Config.describe(c)
}

// describe covers all that this package uses. Spec's other fields are refused
// (unimplemented) or concern others.
func (o *Config) describe(c *codec) {
	if c.reading {
		o.Spec = &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	}
	for _, v := range []*bool{&o.Reaper, &o.Listen, &o.MakeCwd, &o.NoPivot, &o.HostMounts, &o.KeepKeyring, &o.LastingRoot} {
		c.flag(v)
	}
	num(c, &o.Preserve)
	list(c, &o.CgroupDirs, (*codec).str)
	filter := string(o.Seccomp)
	c.str(&filter)
	if c.reading {
		o.Seccomp = []byte(filter)
	}
	s := o.Spec
	c.str(&s.Hostname)
	c.str(&s.Domainname)
	option(c, &s.Root, func(c *codec, r *specs.Root) { c.str(&r.Path); c.flag(&r.Readonly) })
	list(c, &s.Mounts, describeMount)
	option(c, &s.Hooks, describeHooks)
	option(c, &o.State, describeState)
	describeProcess(c, s.Process)
	describeLinux(c, s.Linux)
}

func describeHooks(c *codec, h *specs.Hooks) {
	//nolint:staticcheck // prestart is deprecated, but in use
	for _, kind := range []*[]specs.Hook{&h.Prestart, &h.CreateRuntime, &h.CreateContainer, &h.StartContainer, &h.Poststart, &h.Poststop} {
		list(c, kind, func(c *codec, k *specs.Hook) {
			c.str(&k.Path)
			list(c, &k.Args, (*codec).str)
			list(c, &k.Env, (*codec).str)
			option(c, &k.Timeout, num)
		})
	}
}

// describeState leaves out what is set where the state is used.
func describeState(c *codec, s *specs.State) {
	c.str(&s.Version)
	c.str(&s.ID)
	c.str(&s.Bundle)
	pairs(c, &s.Annotations)
}

func describeMount(c *codec, m *specs.Mount) {
	c.str(&m.Destination)
	c.str(&m.Type)
	c.str(&m.Source)
	list(c, &m.Options, (*codec).str)
	list(c, &m.UIDMappings, describeIDs)
	list(c, &m.GIDMappings, describeIDs)
}

func describeLimit(c *codec, l *specs.POSIXRlimit) {
	c.str(&l.Type)
	num(c, &l.Hard)
	num(c, &l.Soft)
}

func describeIDs(c *codec, m *specs.LinuxIDMapping) {
	num(c, &m.ContainerID)
	num(c, &m.HostID)
	num(c, &m.Size)
}

func describeProcess(c *codec, p *specs.Process) {
	c.flag(&p.Terminal)
	option(c, &p.ConsoleSize, func(c *codec, b *specs.Box) { num(c, &b.Height); num(c, &b.Width) })
	num(c, &p.User.UID)
	num(c, &p.User.GID)
	option(c, &p.User.Umask, num)
	list(c, &p.User.AdditionalGids, num)
	list(c, &p.Args, (*codec).str)
	list(c, &p.Env, (*codec).str)
	c.str(&p.Cwd)
	option(c, &p.Capabilities, func(c *codec, k *specs.LinuxCapabilities) {
		for _, set := range []*[]string{&k.Bounding, &k.Effective, &k.Permitted, &k.Inheritable, &k.Ambient} {
			list(c, set, (*codec).str)
		}
	})
	list(c, &p.Rlimits, describeLimit)
	c.flag(&p.NoNewPrivileges)
	c.str(&p.ApparmorProfile)
	c.str(&p.SelinuxLabel)
	option(c, &p.Scheduler, func(c *codec, s *specs.Scheduler) {
		c.str((*string)(&s.Policy))
		num(c, &s.Nice)
		num(c, &s.Priority)
		list(c, &s.Flags, func(c *codec, f *specs.LinuxSchedulerFlag) { c.str((*string)(f)) })
		num(c, &s.Runtime)
		num(c, &s.Deadline)
		num(c, &s.Period)
	})
	option(c, &p.IOPriority, func(c *codec, i *specs.LinuxIOPriority) { c.str((*string)(&i.Class)); num(c, &i.Priority) })
	option(c, &p.ExecCPUAffinity, func(c *codec, a *specs.CPUAffinity) { c.str(&a.Initial); c.str(&a.Final) })
	option(c, &p.OOMScoreAdj, num)
}

func netDevices(c *codec, m *map[string]specs.LinuxNetDevice) {
	names := map[string]string{}
	for name, d := range *m {
		names[name] = d.Name
	}
	pairs(c, &names)
	if c.reading && len(names) > 0 {
		*m = map[string]specs.LinuxNetDevice{}
		for name, inside := range names {
			(*m)[name] = specs.LinuxNetDevice{Name: inside}
		}
	}
}

func describeLinux(c *codec, l *specs.Linux) {
	list(c, &l.UIDMappings, describeIDs)
	list(c, &l.GIDMappings, describeIDs)
	list(c, &l.Namespaces, func(c *codec, n *specs.LinuxNamespace) { c.str((*string)(&n.Type)); c.str(&n.Path) })
	pairs(c, &l.Sysctl)
	list(c, &l.Devices, func(c *codec, d *specs.LinuxDevice) {
		c.str(&d.Path)
		c.str(&d.Type)
		num(c, &d.Major)
		num(c, &d.Minor)
		option(c, &d.FileMode, func(c *codec, m *os.FileMode) { num(c, m) })
		option(c, &d.UID, num)
		option(c, &d.GID, num)
	})
	option(c, &l.Seccomp, func(c *codec, s *specs.LinuxSeccomp) {
		list(c, &s.Flags, func(c *codec, f *specs.LinuxSeccompFlag) { c.str((*string)(f)) })
		c.str(&s.ListenerPath)
		c.str(&s.ListenerMetadata)
	})
	c.str(&l.RootfsPropagation)
	list(c, &l.MaskedPaths, (*codec).str)
	list(c, &l.ReadonlyPaths, (*codec).str)
	c.str(&l.MountLabel)
	netDevices(c, &l.NetDevices)
	option(c, &l.MemoryPolicy, func(c *codec, p *specs.LinuxMemoryPolicy) {
		c.str((*string)(&p.Mode))
		c.str(&p.Nodes)
		list(c, &p.Flags, func(c *codec, f *specs.MemoryPolicyFlagType) { c.str((*string)(f)) })
	})
	option(c, &l.Personality, func(c *codec, p *specs.LinuxPersonality) { c.str((*string)(&p.Domain)) })
}

// toHex makes text of bytes, for a place where only text can be.
func toHex(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// fromHex undoes it.
func fromHex(s string) ([]byte, error) {
	out := make([]byte, len(s)/2)
	for i := range out {
		n, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		if err != nil {
			return nil, err
		}
		out[i] = byte(n)
	}
	return out, nil
}
