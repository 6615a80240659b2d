// Package hook runs the hooks of an OCI config.
//
// Promises: hooks run one after the other, in the order of the config. A hook
// has the container's state as JSON on its standard input, exactly the
// environment of its own entry (nothing of the engine's, nothing of the
// image's), and no descriptor besides the standard streams: Run marks all
// others of the process as close-on-exec. One that has not ended within its
// timeout is killed, with the processes of its process group. When a hook has
// ended, nothing waits for what it left behind.
//
// A hook runs in the namespaces, with the root directory, the credentials and
// the filter of the calling thread: which of the two sides of a container that
// is, the caller decides (docs/sandbox.md).
package hook
