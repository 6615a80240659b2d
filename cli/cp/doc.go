// Package cp is the local side of "berth cp": what source and destination
// mean, local files as a tar stream, and a stream as local files.
//
// The meaning is that of Docker's documentation: a directory is copied into a
// destination that exists and to one that does not; "/." copies what is in it;
// a link is followed only if it is the destination or if that was asked for. A
// stream comes from a container and may be hostile: it is unpacked with os.Root
// and never leaves the destination directory.
package cp
