package stage

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// trees are detached mounts that the parent has opened for its stage.
type trees struct {
	list    []tree
	files   []*os.File
	ours    []*os.File // those of files that are closed here
	cgroups bool       // what shows groups is among them, or there are none
}

// tree comes with a descriptor: that of the mount at Index in the list of
// mounts, or of the named cgroup hierarchy.
type tree struct {
	Index  int
	Cgroup bool
	Name   string
}

func (t *tree) describe(c *codec) { num(c, &t.Index); c.flag(&t.Cgroup); c.str(&t.Name) }

// given are the trees that the caller has, for the stage to prepare.
func given(sources map[int]*os.File) (t trees) {
	for i, f := range sources {
		t.list, t.files = append(t.list, tree{Index: i}), append(t.files, f)
	}
	return t
}

// openTrees opens what the stage cannot reach, and prepares what was given.
func (p *Process) openTrees(plan *Plan, sources map[int]*os.File) (t trees, err error) {
	o := p.outside
	s := &setup{order: order{
		Config:   Config{Spec: &specs.Spec{Root: &specs.Root{Path: o.Root}, Mounts: o.Mounts}, CgroupDirs: o.CgroupDirs},
		CgroupNS: o.CgroupNS,
	}, idmaps: idmaps{container: p.user}}
	defer s.idmaps.close()
	s.sources = make([]*os.File, len(o.Mounts))
	for i, f := range sources {
		if i < 0 || i >= len(o.Mounts) {
			return t, invalid("a source for mount %d of %d", i, len(o.Mounts))
		}
		s.sources[i] = f
	}
	err = s.openTrees(func(i int, m *specs.Mount, opt *mountOptions) (err error) {
		s.sources[i], err = o.openView(s.sources[i], m, opt, plan)
		return err
	})
	for i, f := range s.sources {
		if f != nil {
			t.list, t.files = append(t.list, tree{Index: i}), append(t.files, f)
			if sources[i] == nil {
				t.ours = append(t.ours, f)
			}
		}
	}
	for _, c := range s.cgroups {
		t.list, t.files = append(t.list, tree{Cgroup: true, Name: c.name}), append(t.files, c.tree)
		t.ours = append(t.ours, c.tree)
	}
	t.cgroups = s.cgroups != nil
	if err != nil {
		t.close()
	}
	return t, err
}

func (t *trees) close() {
	for _, f := range t.ours {
		f.Close()
	}
}

// send follows the order.
func (t *trees) send(control *os.File) error {
	for i, f := range t.files {
		err := send(control, frameTree, t.list[i].describe, f)
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return nil // why it ended, Created says
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// views are file systems that show a namespace, which only its owner may mount.
var views = map[string]uint64{"sysfs": unix.CLONE_NEWNET, "mqueue": unix.CLONE_NEWIPC}

// openView makes a view of a namespace that is not the container's own. In all
// other cases it returns source.
func (o *outside) openView(source *os.File, m *specs.Mount, opt *mountOptions, plan *Plan) (*os.File, error) {
	kind := views[m.Type]
	if kind == 0 || plan.Clone&kind != 0 || source != nil || opt.remount || opt.bind {
		return source, nil
	}
	view := func() (err error) {
		source, err = newFileSystem(m, opt)
		return err
	}
	err := o.within(kind, plan, view)
	return source, err
}

// within runs view in the namespace of a kind that the container joins; without
// one, in the caller's.
func (o *outside) within(kind uint64, plan *Plan, view func() error) error {
	if kind == unix.CLONE_NEWNET && plan.NetNS != nil {
		return ns.WithNetNS(plan.NetNS, view)
	}
	for _, j := range o.Join {
		if j.Kinds != kind {
			continue
		}
		f, err := ns.Open(j.Path, int(kind))
		if err != nil {
			return err
		}
		defer f.Close()
		return ns.OnThread(func() error {
			if err := ns.Enter(f, int(kind)); err != nil {
				return err
			}
			return view()
		})
	}
	return view()
}

// receiveTrees is the stage's part of it.
func (s *setup) receiveTrees() error {
	s.sources = make([]*os.File, len(s.Spec.Mounts))
	for range s.inTrees {
		kind, body, file, err := receive(s.control)
		if err != nil {
			return err
		}
		var t tree
		err = decode(body, t.describe)
		switch {
		case err != nil, kind != frameTree, file == nil, !t.Cgroup && (t.Index < 0 || t.Index >= len(s.sources)):
			return fmt.Errorf("unexpected message %q (%v)", kind, err) //nolint:errorlint // err may be nil
		case t.Cgroup:
			s.cgroups = append(s.cgroups, cgroupTree{t.Name, file})
		default:
			s.sources[t.Index] = file
		}
	}
	return nil
}
