package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const childName = "floor-child"

type floor struct {
	rootfs string
	bridge *netlink.Bridge
	groups []string // the parent group in every hierarchy
	filter *os.File // the seccomp program
	count  atomic.Int64
}

func newFloor(rootfs string) (_ *floor, err error) {
	f := &floor{rootfs: rootfs}
	f.bridge = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "flr" + strconv.Itoa(os.Getpid()%100000)}}
	if err := netlink.LinkAdd(f.bridge); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = f.close(err)
		}
	}()
	if err := netlink.LinkSetUp(f.bridge); err != nil {
		return nil, err
	}
	if f.groups, err = hierarchies(); err != nil {
		return nil, err
	}
	f.filter, err = os.Open(filepath.Join(rootfs, "filter"))
	return f, err
}

// hierarchies makes a group below the root of every mounted hierarchy and
// returns their paths.
func hierarchies() ([]string, error) {
	roots := []string{"/sys/fs/cgroup"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.procs"); err != nil {
		roots, err = filepath.Glob("/sys/fs/cgroup/*")
		if err != nil {
			return nil, err
		}
	}
	var groups []string
	for _, root := range roots {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		group := filepath.Join(root, "berth-floor")
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		groups = append(groups, group)
		if err := inherit(group); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// inherit copies cpus and mems of the parent, without which a v1 cpuset takes
// no process.
func inherit(group string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(group), name))
		if err != nil {
			continue // not a v1 cpuset
		}
		if err := os.WriteFile(filepath.Join(group, name), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// once runs one container from nothing to nothing, and tells when its phases
// ended.
func (f *floor) once() (at stamps, err error) {
	if err := f.live(&at); err != nil {
		return at, err
	}
	at[phaseTearDown] = now()
	return at, nil
}

// live is all of once; what it made is gone when it returns.
func (f *floor) live(at *stamps) error {
	n := int(f.count.Add(1))
	id := strconv.Itoa(n)
	told, err := stampFile()
	if err != nil {
		return err
	}
	defer told.Close()
	netns, err := f.network(n, at)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer netns.Close()
	at[phaseAddress] = now()
	var joins []string
	for _, group := range f.groups {
		path := filepath.Join(group, id)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		defer os.Remove(path)
		if err := inherit(path); err != nil {
			return err
		}
		joins = append(joins, filepath.Join(path, "cgroup.procs"))
	}
	at[phaseGroups] = now()
	dir := filepath.Join(f.rootfs, id)
	for _, d := range []string{dir, dir + "/upper", dir + "/work"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	defer os.RemoveAll(dir)
	root, err := overlay(filepath.Join(f.rootfs, "lower"), dir)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	defer root.Close()
	at[phaseOverlay] = now()
	if err := f.process(root, netns, told, joins); err != nil {
		return err
	}
	at[phaseProgram] = now()
	return at.hear(told)
}

// process clones process 1, puts it into its groups and waits for its end. What
// it tells of its phases is in told.
func (f *floor) process(root, netns, told *os.File, joins []string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{childName, f.rootfs}, &os.ProcAttr{
		Files: []*os.File{nil, nil, os.Stderr, r, root, netns, f.filter, told},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			Setsid:     true,
		},
	})
	if err != nil {
		return err
	}
	for _, procs := range joins {
		if err := os.WriteFile(procs, []byte(strconv.Itoa(p.Pid)), 0); err != nil {
			killed := p.Kill()
			_, waited := p.Wait()
			return errors.Join(err, killed, waited)
		}
	}
	_, said := w.Write([]byte{1})
	state, err := p.Wait()
	err = errors.Join(said, err)
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}

// network makes a namespace with one end of a veth pair in it and the other on
// the bridge, addressed and up.
func (f *floor) network(n int, at *stamps) (*os.File, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // it is in the host's namespace again
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	netns, err := os.Open("/proc/thread-self/ns/net")
	if e := unix.Setns(int(host.Fd()), unix.CLONE_NEWNET); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	at[phaseNetNS] = now()
	name := fmt.Sprintf("fl%dx%d", os.Getpid()%100000, n)
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: f.bridge.Index, Flags: 1},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(int(netns.Fd())),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, err
	}
	runtime.KeepAlive(netns)
	at[phaseVeth] = now()
	return netns, inside(netns, n)
}

// close removes what newFloor made.
func (f *floor) close(err error) error {
	errs := []error{err}
	for _, group := range f.groups {
		errs = append(errs, os.Remove(group))
	}
	if f.filter != nil {
		errs = append(errs, f.filter.Close())
	}
	return errors.Join(append(errs, netlink.LinkDel(f.bridge))...)
}
