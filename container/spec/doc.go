// Package spec turns a container's configuration into the OCI specification
// that the sandbox runs. It is pure: what depends on the host or on the root
// file system (user, mounts, devices, namespaces of other containers) is
// resolved by the caller and comes in as Input; the same Input gives the same
// Spec.
//
// The defaults are Docker's: namespaces, mounts, masked and read-only paths,
// capabilities, devices, and the seccomp profile of moby/profiles.
package spec
