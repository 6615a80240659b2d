// Package archive copies files out of and into the root file system of a
// container as tar streams, and tells what a container changed.
//
// Both sides may be hostile: the container, which changes its files while they
// are read and written, and the stream. Guarantees: every path is resolved by
// descriptor with the root directory that was given as "/", so nothing outside
// of it is read, made or changed; file systems of the kernel (/proc, /sys, …)
// are neither read nor written; nothing in the root is executed, and only
// regular files are opened. Memory does not grow with the number of entries,
// their names, or the ratio of compression.
//
// Numbers of owners are those that the host sees. Whiteouts have no meaning in
// streams: ".wh." is the beginning of a name like any other.
package archive
