// Package image is the store of images: it pulls them from registries, unpacks
// them, names them, and hands out their layers as root file systems.
package image

import "github.com/containerd/errdefs"

var errTemp = errdefs.ErrNotImplemented
