// Package sandbox is the OCI runtime of the engine, as the daemon sees it:
// bundle in, process out.
//
// A Runtime turns a Bundle (an OCI config and file descriptors) into a
// Sandbox: one small monitor process per container (package monitor, program
// berth-sandbox), which is the parent of the container's process 1, holds its
// terminal or pipes, writes its log and knows its exit. The daemon speaks to
// the monitor over a root-only unix socket (docs/contracts/monitor.md).
//
// Promises: a container outlives the daemon, and Adopt finds it again; the
// exit record is in place under the state directory before any Wait returns;
// attached clients see every byte or end with an error, whatever their speed;
// a monitor that dies takes its container with it and leaves a record that
// says so; Launch either returns a Sandbox or leaves nothing behind.
//
// The package knows nothing of images, networks or HTTP.
package sandbox
