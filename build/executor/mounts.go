package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	ctdmount "github.com/containerd/containerd/v2/core/mount"
	bkexecutor "github.com/moby/buildkit/executor"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// mounts opens what is mounted in a step. Each but a tmpfs comes as a detached
// tree, in sources by the name that its entry has as Source.
func (x *Executor) mounts(ctx context.Context, list []bkexecutor.Mount, sources map[string]*os.File, u *undo) ([]specs.Mount, error) {
	var out []specs.Mount
	for i, m := range list {
		parts, err := x.describe(ctx, m, u)
		if err != nil {
			return nil, fmt.Errorf("mount at %s of a build step: %w", m.Dest, err)
		}
		if len(parts) == 1 && parts[0].Type == "tmpfs" {
			out = append(out, specs.Mount{Destination: m.Dest, Type: "tmpfs", Source: "tmpfs", Options: parts[0].Options})
			continue
		}
		tree, err := x.open(parts, m.Readonly, u)
		if err == nil && m.Selector != "" {
			tree, err = within(tree, m.Selector, u)
		}
		if err != nil {
			return nil, fmt.Errorf("mount at %s of a build step: %w", m.Dest, err)
		}
		name := "mount-" + strconv.Itoa(i)
		sources[name] = tree
		options := []string{"rbind", "rprivate"}
		if m.Readonly {
			options = append(options, "ro")
		}
		out = append(out, specs.Mount{Destination: m.Dest, Type: "bind", Source: name, Options: options})
	}
	return out, nil
}

// openMount opens the root of a step as a detached tree.
func (x *Executor) openMount(ctx context.Context, m bkexecutor.Mount, u *undo) (*os.File, error) {
	parts, err := x.describe(ctx, m, u)
	if err != nil {
		return nil, err
	}
	tree, err := x.open(parts, m.Readonly, u)
	if err == nil && m.Selector != "" {
		return within(tree, m.Selector, u)
	}
	return tree, err
}

// describe asks for the mounts that something consists of, in the words of
// containerd, and keeps it until the step's end.
func (x *Executor) describe(ctx context.Context, m bkexecutor.Mount, u *undo) ([]ctdmount.Mount, error) {
	if x.o.Remap != nil && !m.Readonly {
		ctx = asMapped(ctx)
	}
	ref, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, err
	}
	parts, release, err := ref.Mount()
	if err != nil {
		return nil, err
	}
	if release != nil {
		u.push(func(context.Context) error { return release() })
	}
	return parts, nil
}

// open is OpenTree, for the eyes of a step, until its end.
func (x *Executor) open(parts []ctdmount.Mount, readonly bool, u *undo) (*os.File, error) {
	var tree *os.File
	var err error
	if len(parts) == 1 && parts[0].Type == mappedOverlay {
		tree, err = x.openMapped(parts[0], readonly, u)
	} else {
		tree, err = OpenTree(parts, readonly, x.o.Remap)
	}
	if err == nil {
		u.push(func(context.Context) error { return tree.Close() })
	}
	return tree, err
}

// openMapped opens what a step in a user namespace writes to.
func (x *Executor) openMapped(m ctdmount.Mount, readonly bool, u *undo) (*os.File, error) {
	l, err := layers(m.Options)
	if err != nil {
		return nil, err
	}
	l.IDMap, l.MapUpper = x.o.Remap.User, true
	tree, release, err := x.shared.open(l)
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { return release() })
	if !readonly {
		return tree, nil
	}
	if err := setReadonly(tree); err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return tree, nil
}

// within opens a file or directory of a tree as a tree of its own. Links lead
// nowhere outside.
func within(tree *os.File, selector string, u *undo) (*os.File, error) {
	f, err := mount.OpenInRoot(tree, path.Join("/", selector), unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { return f.Close() })
	part, err := mount.ClonePart(tree, f)
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { return part.Close() })
	return part, nil
}

// descriptorPath names a descriptor for other processes, too.
func descriptorPath(f *os.File) string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(f.Fd()))
}
