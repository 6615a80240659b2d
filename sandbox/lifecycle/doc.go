// Package lifecycle makes containers from OCI bundles and finds them again: the
// operations of the OCI runtime specification (runtime.md) and what runc's
// command line adds to them, one file each. It is the work of berth-runtime.
//
// Nothing keeps running for a container but its own processes. Whoever called
// create, or the subreaper above it, becomes the parent of process 1. All that
// is known of a container is in its directory below a root directory, and in
// the kernel.
//
// Promises: an operation that fails undoes what it did; one that is killed
// leaves at most a container that Delete with Force removes. Operations that
// change a container exclude each other, also between programs. A process is
// named by its number and start time, never by its number alone.
package lifecycle
