// Package foreign has another OCI runtime, such as runc or crun, make and run a
// container, for a monitor that stays its parent.
//
// A Runtime is one container of such a runtime. All that the runtime keeps of
// it, and all that is made for it here, lies in the container's directory, so
// that nothing is left when that is removed. The runtime's commands end by
// themselves or are killed; the processes that they leave behind become children of the
// monitor, which must be their subreaper, and are known by pidfd from the
// moment in which they are known at all.
//
// The root file system comes as a detached mount. It is in nobody's mount table:
// the command that makes the container runs in a mount namespace of its own, in
// which the root is at its place in the bundle.
package foreign
