package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// Layers describe an overlay.
type Layers struct {
	Lower       []string // topmost first, absolute host paths; at least one
	Upper, Work string   // both empty: read-only
	Options     []string // further options of overlayfs: "userxattr", "metacopy=off"
	// IDMap, when set, is a user namespace by whose mappings the owners in the
	// lower layers are shown: user 0 of a layer is what the namespace's root is
	// here. Upper, which has such owners already, is taken as it is. It needs
	// Linux 5.19 and a file system that can map owners; the error's kind is
	// NotImplemented without them.
	IDMap *os.File
	// MapUpper has Upper shown by IDMap, too: what is written gets owners as the
	// lower layers have them. Upper and Work are then in one directory, which
	// belongs to the host's root and holds nothing else.
	MapUpper bool
}

// mappingError says that a file system or kernel cannot map owners.
type mappingError struct{ err error }

func (e *mappingError) Error() string {
	return "owners of files cannot be mapped for a user namespace here: " + e.err.Error()
}

func (e *mappingError) Unwrap() error { return e.err }

// NotImplemented gives the error its kind for package errdefs, which is not
// imported here.
func (e *mappingError) NotImplemented() {}

// mapped says what mapping owners came to.
func mapped(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return &mappingError{err}
	}
	return err
}

// ShowMapped has the owners in a detached tree, which is no overlay, shown by the
// mappings of a user namespace, as Layers.IDMap does.
func ShowMapped(tree, user *os.File) error { return mapped(SetAttr(tree, Attr{IDMap: user})) }

// maxString is the longest string that fsconfig takes (strndup_user with 256).
const maxString = 255

// Overlay makes a detached overlay mount; closing it drops it unless it was
// attached. Lower layers are given one by one where the kernel takes them so
// (6.8), otherwise all in one option. Either way the limit is the kernel's own
// of 500 layers.
func Overlay(l Layers) (*os.File, error) {
	switch {
	case len(l.Lower) == 0 || (l.Upper == "") != (l.Work == ""):
		return nil, errors.New("overlay: incomplete layers")
	case l.Upper == "" && len(l.Lower) == 1:
		return single(l.Lower[0], l.IDMap)
	case l.IDMap != nil:
		return overMapped(l)
	case takesLayers():
		return stacked(l)
	}
	return classic(l)
}

// takesLayers tells whether overlayfs knows lowerdir+. Before 6.5 it collects
// whatever options it is told and complains at the end, in the kernel's log,
// which would get a line for every container. It is asked once.
var takesLayers = sync.OnceValue(func() bool {
	fs, err := fsopen("overlay")
	if err != nil {
		return true // stacked says why
	}
	defer fs.close()
	return fs.set("lowerdir+", "/") == nil && fs.flag("no-such-option") != nil
})

// single is a read-only view of one directory, for which overlayfs wants two.
func single(dir string, idmap *os.File) (*os.File, error) {
	f, err := Clone(dir, false)
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	err = SetAttr(f, Attr{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE})
	if err == nil && idmap != nil {
		err = mapped(SetAttr(f, Attr{IDMap: idmap}))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("overlay: %w", err)
	}
	return f, nil
}

// overMapped covers each lower layer with a view of itself in which owners are
// mapped, in a mount namespace that is thrown away, and makes the overlay of
// these.
func overMapped(l Layers) (tree *os.File, err error) {
	err = apart(func() error {
		for _, dir := range l.Lower {
			if err := coverMapped(dir, l.IDMap); err != nil {
				return fmt.Errorf("overlay: %w", err)
			}
		}
		if l.MapUpper && l.Upper != "" {
			if err := l.coverUpper(); err != nil {
				return fmt.Errorf("overlay: %w", err)
			}
		}
		if takesLayers() {
			tree, err = stacked(l)
		} else {
			tree, err = l.mountClassic()
		}
		return mapped(err)
	})
	return tree, err
}

// coverUpper is coverMapped for what is written to. overlayfs itself makes files
// there, whiteouts for one, as who mounts it: that must be somebody whom the
// mappings know, root of the namespace, with all that the host's may.
func (l Layers) coverUpper() error {
	dir := filepath.Dir(l.Upper)
	if dir != filepath.Dir(l.Work) {
		return errors.New("upper and work directory are not beside each other")
	}
	if err := coverMapped(dir, l.IDMap); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := StatOf(info)
	if !ok {
		return errors.New("no owner")
	}
	return becomeFileOwner(int(st.UID), int(st.GID))
}

// becomeFileOwner has the files that this thread makes belong to somebody else.
// It keeps its capabilities, some of which the kernel takes away with it.
func becomeFileOwner(uid, gid int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	if err := unix.Setfsgid(gid); err != nil {
		return os.NewSyscallError("setfsgid", err)
	}
	if err := unix.Setfsuid(uid); err != nil {
		return os.NewSyscallError("setfsuid", err)
	}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	return nil
}

func coverMapped(dir string, idmap *os.File) error {
	view, err := Clone(dir, false)
	if err != nil {
		return err
	}
	defer view.Close()
	if err := SetAttr(view, Attr{IDMap: idmap}); err != nil {
		return mapped(fmt.Errorf("%s: %w", dir, err))
	}
	at, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	return Attach(view, at)
}

func stacked(l Layers) (*os.File, error) {
	fs, err := fsopen("overlay")
	if err != nil {
		return nil, err
	}
	defer fs.close()
	if err := fs.set("source", "overlay"); err != nil {
		return nil, err
	}
	for _, dir := range l.Lower {
		if err := fs.setDir("lowerdir+", dir); err != nil {
			return nil, err
		}
	}
	if l.Upper != "" {
		if err := fs.setDir("upperdir", l.Upper); err != nil {
			return nil, err
		}
		if err := fs.setDir("workdir", l.Work); err != nil {
			return nil, err
		}
	}
	for _, o := range l.options() {
		key, value, hasValue := strings.Cut(o, "=")
		if hasValue {
			err = fs.set(key, value)
		} else {
			err = fs.flag(key)
		}
		if err != nil {
			return nil, err
		}
	}
	return fs.mount(0)
}

// options adds index=off: an index would refuse an upper directory that was
// used with other lower directories, and containers never export over NFS; and
// switches off redirects and bare metadata, whatever the kernel's default is: an
// upper directory must say by itself what was changed, for diff and commit.
func (l Layers) options() []string {
	if l.Upper == "" {
		return l.Options
	}
	var out []string
	for _, key := range []string{"index", "redirect_dir", "metacopy"} {
		if !slices.ContainsFunc(l.Options, func(o string) bool { return strings.HasPrefix(o, key+"=") }) {
			out = append(out, key+"=off")
		}
	}
	return append(out, l.Options...)
}

func (c *fsContext) setDir(key, dir string) error {
	name, held, err := plain(dir)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	if held != nil {
		c.held = append(c.held, held)
	}
	if err := c.set(key, name); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// plain returns a name for dir that is short and has no character that
// overlayfs treats as special. If that is the name of a descriptor, it is
// returned, too, and must stay open.
func plain(dir string) (string, *os.File, error) {
	if len(dir) <= maxString && !strings.ContainsAny(dir, `:,\`) {
		return dir, nil, nil
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())), f, nil
}

// classic uses mount(2), in a mount namespace that is thrown away, so that the
// host's table does not show it.
func classic(l Layers) (tree *os.File, err error) {
	err = apart(func() error {
		tree, err = l.mountClassic()
		return err
	})
	return tree, err
}

// apart runs fn on a thread with a private copy of the mount namespace, both of
// which are thrown away.
func apart(fn func() error) error {
	return ns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := MakePrivate(); err != nil {
			return err
		}
		return fn()
	})
}

// mountClassic must run apart. Descriptors are opened here, since they must be
// of mounts in this namespace.
func (l Layers) mountClassic() (*os.File, error) {
	data, held, err := l.classicData(plain)
	if err == nil && len(data) >= os.Getpagesize() {
		closeAll(held)
		// The working directory is this thread's own, too.
		if err := unix.Chdir("/proc/thread-self/fd"); err != nil {
			return nil, os.NewSyscallError("chdir", err)
		}
		data, held, err = l.classicData(numbered)
	}
	defer closeAll(held)
	if err != nil {
		return nil, err
	}
	at := l.Lower[0]
	if err := unix.Mount("overlay", at, "overlay", 0, data); err != nil {
		return nil, fmt.Errorf("mount overlay of %d layers, options %q: %w", len(l.Lower), l.options(), err)
	}
	return Clone(at, false)
}

// numbered returns the name of a descriptor in the directory that lists them:
// mount(2) takes one page of options, so names must be short.
func numbered(dir string) (string, *os.File, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return strconv.Itoa(int(f.Fd())), f, nil
}

// classicData returns the options of mount(2), and descriptors that they name.
func (l Layers) classicData(name func(dir string) (string, *os.File, error)) (data string, held []*os.File, err error) {
	named := func(dir string) string {
		if err != nil {
			return ""
		}
		var n string
		var f *os.File
		if n, f, err = name(dir); f != nil {
			held = append(held, f)
		}
		return n
	}
	lower := make([]string, len(l.Lower))
	for i, dir := range l.Lower {
		lower[i] = named(dir)
	}
	options := append([]string{"lowerdir=" + strings.Join(lower, ":")}, l.options()...)
	if l.Upper != "" {
		options = append(options, "upperdir="+named(l.Upper), "workdir="+named(l.Work))
	}
	return strings.Join(options, ","), held, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
