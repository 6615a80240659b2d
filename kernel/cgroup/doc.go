// Package cgroup makes, limits, freezes, counts, kills and removes the control
// groups of containers and monitors, on v1, v2 and hybrid hosts.
//
// A group is named by a parent and an id and exists under that path in every
// hierarchy of the host, relative to the hierarchy's root and not to the
// group of the calling process. On hybrid hosts that includes the unified
// hierarchy, which has no controllers there but can kill a whole group at
// once. Nothing is kept in memory: Load finds a group again by its name.
//
// Limits are changed all or none (Update, Change). What this host's kernel has
// no setting for is refused by its name in the OCI configuration
// (errdefs.NotImplemented), never left out. Groups are frozen by the unified
// hierarchy wherever there is one; Freeze returns when all processes stand
// still. An OOMWatcher tells of processes killed for want of memory, in any
// number of groups, and who they were.
//
// Create either returns a group with all limits in place, and no process in
// it, or leaves nothing. The package manages the file system itself; systemd's
// notation of paths is errdefs.NotImplemented.
//
// Values are written by github.com/opencontainers/cgroups, which knows their
// units, ranges and order.
package cgroup
