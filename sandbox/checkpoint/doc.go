// Package checkpoint saves the processes of a container in files and makes
// processes of such files, by criu(8). It speaks criu's protocol (criu swrk)
// with the types of github.com/checkpoint-restore/go-criu; the exchange itself
// is here, because criu must be put in the container's groups and in mounts of
// its own before it is asked, and sends descriptors.
//
// Promises: what is mounted for a restoration is seen by criu and nobody else,
// and gone with it, however it ends. Destinations of mounts are resolved inside
// the root file system, by descriptor. An error names what criu's log says;
// without criu it is errdefs.NotImplemented, as it is where criu says that this
// kernel is not one for it.
//
// Files with saved processes are as powerful as a configuration: whoever writes
// them says which processes there will be. criu resolves paths in them by
// itself.
package checkpoint
