// Package mount makes and places mounts by descriptor, and opens files below a
// root directory that may belong to an enemy.
//
// Guarantees: no function follows a link, "..", or a racing rename out of the
// root it was given (openat2 with RESOLVE_IN_ROOT), and none follows the magic
// links of a procfs; a detached mount (Overlay, New, Clone) is in nobody's
// mount table and vanishes with its descriptor unless it is attached.
//
// It imports only the standard library and golang.org/x/sys/unix, because the
// first process of a container links it. It needs Linux 5.15; what newer
// kernels offer is tried and has a fallback. Supported tells.
package mount
