// Package image is the store of images: it pulls them from registries, unpacks
// them, names them, and hands out their layers as root file systems.
//
// An image's ID is the digest of what its name stands for, an index or a
// manifest, as in Docker with the containerd image store. A name appears only
// after everything it needs is verified, unpacked and recorded in one
// transaction; a pull that fails or is killed leaves no name and, in the end,
// no data. Looking up an image by name and taking its root file system write
// nothing and, once cached, read nothing from disk.
//
// How registries are reached, what is tried again, single platforms and the
// signature policy are told in docs/images.md.
//
// What a container uses stays (Hold, Rootfs) even if its image is removed by
// force; see docs/contracts/image-rootfs.md.
package image
