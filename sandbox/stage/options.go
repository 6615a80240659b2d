package stage

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountOptions is what the words in Mount.Options mean.
type mountOptions struct {
	bind, recursive bool // bind, rbind
	attr            mount.Attr
	recAttr         mount.Attr // rro and the like: also for the mounts below
	propagation     uint64     // MS_…
	propRecursive   bool
	fs              []mount.Option
}

// attributes of a mount by option word; see mount(8) and the OCI runtime
// specification.
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

func parseOptions(m *specs.Mount) (mountOptions, error) {
	o := mountOptions{bind: m.Type == "bind"}
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		return o, &NotImplementedError{"mount " + m.Destination + ": id mappings"}
	}
	for _, word := range m.Options {
		rec, isRec := strings.CutPrefix(word, "r")
		switch {
		case word == "" || word == "defaults":
		case word == "bind":
			o.bind = true
		case word == "rbind":
			o.bind, o.recursive = true, true
		case word == "remount" || word == "tmpcopyup" || word == "idmap" || word == "ridmap":
			return o, &NotImplementedError{"mount " + m.Destination + ": option " + word}
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
func (o *mountOptions) attrs() int { return int(o.attr.Set | o.recAttr.Set) }

// apply changes the attributes of a detached tree.
func (o *mountOptions) apply(tree *os.File) error {
	for _, a := range []mount.Attr{o.attr, o.recAttr} {
		// "rw" does not undo what the host's administrator made read-only.
		a.Clear &^= unix.MOUNT_ATTR_RDONLY
		if a.Set|a.Clear == 0 {
			continue
		}
		if err := mount.SetAttr(tree, a); err != nil {
			return err
		}
	}
	return nil
}
