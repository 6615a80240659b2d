// Package stage makes the first process of a container.
//
// Prepare, in the daemon, checks an OCI config and makes an order of it. Fork,
// in the container's monitor, clones the sealed berth-sandbox binary into new
// namespaces, possibly before there is an order; Begin puts it into its cgroups
// and passes the order on. There, Main builds the container around itself:
// mounts, devices, root, credentials, seccomp. When Created returns, all of
// that is done, and the process waits; Start lets it execute the program.
//
// Promises: either Created returns with a process that is completely
// restricted, or nothing is left. A path that the container's root file system or a
// volume decides about is resolved inside the root, by descriptor
// (docs/sandbox.md lists the steps and what each one defends against). The
// program sees the descriptors 0, 1 and 2 and no other. What a Spec asks for
// and this package does not do is a *NotImplementedError, never ignored.
//
// The package is linked into berth-sandbox and starts with every container:
// its imports stay few.
package stage
