//go:build !nodefence_private

package stage

import "github.com/berth-engine/berth/kernel/mount"

// cutPropagation ends the sharing of mounts with the host.
func cutPropagation() error { return mount.MakePrivate() }
