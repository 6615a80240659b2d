package stage

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountOptions is what the words in Mount.Options mean.
type mountOptions struct {
	bind, recursive   bool // bind, rbind
	remount           bool
	copyUp            bool // tmpcopyup
	idmap, idmapBelow bool // idmap or ridmap; ridmap
	attr              mount.Attr
	recAttr           mount.Attr // rro and the like: also for the mounts below
	propagation       uint64     // MS_…
	propRecursive     bool
	fs                []mount.Option
}

// attributes of a mount by option word; see mount(8) and the OCI runtime
// specification, "Linux mount options".
var attributes = map[string]struct {
	set, clear uint64
}{
	"ro": {set: unix.MOUNT_ATTR_RDONLY}, "rw": {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
	"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"atime":         {clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nostrictatime": {clear: unix.MOUNT_ATTR__ATIME},
}

var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "shared": unix.MS_SHARED, "unbindable": unix.MS_UNBINDABLE,
}

// noOptions are for mount(8) and its fstab, or say what is so anyway. "silent"
// is about messages that the calls used here do not print. Where the kernel
// counts versions of inodes (xfs, btrfs, ext4 since 6.1), it does so unasked;
// ext4 before knows the word i_version.
var noOptions = []string{"", "defaults", "loud", "silent", "iversion", "noiversion", "auto", "noauto", "nouser", "_netdev"}

func parseOptions(m *specs.Mount) (mountOptions, error) {
	o := mountOptions{bind: m.Type == "bind"}
	for _, word := range m.Options {
		if strings.IndexByte(word, 0) >= 0 {
			return o, invalid("mount %s: NUL byte in option %q", m.Destination, word)
		}
		rec, isRec := strings.CutPrefix(word, "r")
		switch {
		case slices.Contains(noOptions, word), strings.HasPrefix(word, "x-"), strings.HasPrefix(word, "X-"):
			if word == "iversion" && m.Type == "ext4" {
				o.fs = append(o.fs, mount.Option{Key: "i_version", Flag: true})
			}
		case word == "bind":
			o.bind = true
		case word == "rbind":
			o.bind, o.recursive = true, true
		case word == "remount":
			o.remount = true
		case word == "tmpcopyup":
			o.copyUp = true
		case word == "idmap":
			o.idmap, o.idmapBelow = true, false
		case word == "ridmap":
			o.idmap, o.idmapBelow = true, true
		case add(&o.attr, word):
		case isRec && add(&o.recAttr, rec):
		case propagations[word] != 0:
			o.propagation, o.propRecursive = propagations[word], false
		case isRec && propagations[rec] != 0:
			o.propagation, o.propRecursive = propagations[rec], true
		default:
			key, value, hasValue := strings.Cut(word, "=")
			o.fs = append(o.fs, mount.Option{Key: key, Value: value, Flag: !hasValue})
		}
	}
	o.recAttr.Recursive = true
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		o.idmap = true // the specification asks for the word, but only as a "should"
	}
	return o, nil
}

// add applies an option word to a, if it is one for attributes. The last word
// wins.
func add(a *mount.Attr, word string) bool {
	change, ok := attributes[word]
	if ok {
		a.Set = a.Set&^change.clear | change.set
		a.Clear = a.Clear&^change.set | change.clear
	}
	return ok
}

// attrs are the attributes for a new file system.
func (o *mountOptions) attrs() int {
	set := o.attr.Set
	if o.recAttr.Clear&unix.MOUNT_ATTR__ATIME != 0 {
		set &^= unix.MOUNT_ATTR__ATIME
	}
	return int(set&^o.recAttr.Clear | o.recAttr.Set)
}

// apply changes the attributes of a tree.
func (o *mountOptions) apply(tree *os.File) error {
	// "rw" does not undo what the host's administrator made read-only; "rrw"
	// has no other meaning.
	plain := o.attr
	plain.Clear &^= unix.MOUNT_ATTR_RDONLY
	for _, a := range []mount.Attr{plain, o.recAttr} {
		if a.Set|a.Clear == 0 {
			continue
		}
		if err := mount.SetAttr(tree, a); err != nil {
			return err
		}
	}
	return nil
}

// tie sets the propagation of a bind mount. The copy is a peer of its source,
// so that "shared" needs nothing done and "slave" cuts one direction. What is
// not asked for is cut off altogether. foreign: it goes to a mount namespace of
// another user namespace, whose mounts never get to the host, as the kernel has
// it for copies of mount namespaces; then "shared" is a group of its own below.
func (o *mountOptions) tie(tree *os.File, foreign bool) error {
	if foreign {
		if err := mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_SLAVE, Recursive: true}); err != nil {
			return err
		}
	}
	switch o.propagation {
	case unix.MS_SHARED:
		return mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_SHARED, Recursive: o.propRecursive})
	case unix.MS_SLAVE:
		// Also what is mounted below, which otherwise stayed a peer.
		return mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_SLAVE, Recursive: true})
	}
	if err := mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_PRIVATE, Recursive: true}); err != nil {
		return err
	}
	return o.propagate(tree)
}

// propagate is tie for what has no peers.
func (o *mountOptions) propagate(tree *os.File) error {
	if o.propagation == 0 {
		return nil
	}
	return mount.SetAttr(tree, mount.Attr{Propagation: o.propagation, Recursive: o.propRecursive})
}
