package executor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	ctdmount "github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// OpenTree makes a detached tree of what a snapshotter describes: nobody but the
// holder of the descriptor sees it, and closing that takes it away. With remap,
// owners are shown as the steps' user namespace has them.
func OpenTree(parts []ctdmount.Mount, readonly bool, remap *Remap) (*os.File, error) {
	if len(parts) != 1 {
		return nil, fmt.Errorf("%d mounts in one place", len(parts))
	}
	var tree *os.File
	var err error
	switch p := parts[0]; p.Type {
	case "bind", "rbind":
		tree, err = mount.Clone(p.Source, p.Type == "rbind" || slices.Contains(p.Options, "rbind"))
		if err == nil {
			if err = remap.show(tree); err != nil {
				err = errors.Join(err, tree.Close())
			}
		}
		readonly = readonly || slices.Contains(p.Options, "ro")
	case "overlay":
		var l mount.Layers
		if l, err = layers(p.Options); err == nil {
			l.IDMap = remap.namespace()
			tree, err = mount.Overlay(l)
		}
	default:
		err = fmt.Errorf("a mount of type %q", p.Type)
	}
	if err != nil {
		return nil, err
	}
	if readonly {
		if err := setReadonly(tree); err != nil {
			return nil, errors.Join(err, tree.Close())
		}
	}
	return tree, nil
}

func setReadonly(tree *os.File) error {
	return mount.SetAttr(tree, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY})
}

// layers reads the options of an overlay. The paths are the image store's, which
// have no colon.
func layers(options []string) (mount.Layers, error) {
	var l mount.Layers
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "lowerdir":
			l.Lower = strings.Split(value, ":")
		case "upperdir":
			l.Upper = value
		case "workdir":
			l.Work = value
		case "index", "userxattr", "metacopy", "redirect_dir", "volatile":
			l.Options = append(l.Options, o)
		case "ro", "rw":
		default:
			return l, fmt.Errorf("overlay with the option %q", o)
		}
	}
	if len(l.Lower) == 0 {
		return l, errors.New("overlay without lower directories")
	}
	return l, nil
}
