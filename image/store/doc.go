// Package store is containerd's image storage inside this process: blobs by
// digest, unpacked layers as overlay snapshots, the records of images, and
// leases, over one bolt database. There is no containerd beside it.
//
// What neither an image nor a lease refers to is garbage. Collect removes it in
// the background; the lock that writers share is held for about a millisecond,
// and the removal of directories happens outside of it.
//
// A directory has one DB at a time; a second Open fails.
package store
