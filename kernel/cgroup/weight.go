package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// weightsFit refuses what has no meaning in v2, where weights of 10 to 1000 are
// converted: the library takes others for numbers above all bounds. What v1 takes,
// its kernel says.
func weightsFit(b *specs.LinuxBlockIO, mode Mode) error {
	if mode != V2 {
		return nil
	}
	fits := func(what string, w *uint16) error {
		if w != nil && *w != 0 && (*w < 10 || *w > 1000) {
			return fmt.Errorf("%s: %d is not between 10 and 1000: %w", what, *w, errdefs.ErrInvalidArgument)
		}
		return nil
	}
	if err := fits("blockIO.weight", b.Weight); err != nil {
		return err
	}
	for _, d := range b.WeightDevice {
		if d.LeafWeight != nil {
			return fmt.Errorf("blockIO.weightDevice.leafWeight: cgroup v2 has no such setting: %w", errdefs.ErrNotImplemented)
		}
		if err := fits(fmt.Sprintf("blockIO.weightDevice of %d:%d", d.Major, d.Minor), d.Weight); err != nil {
			return err
		}
	}
	return nil
}

// weighDevices sets the weights of devices in a group of v2 in which the scheduler
// bfq has no file: the library then leaves them out.
func (g *Group) weighDevices(c *cgroups.Resources) error {
	if g.host.mode != V2 || len(c.BlkioWeightDevice) == 0 {
		return nil
	}
	dir := g.dirs[unified]
	if _, err := os.Lstat(filepath.Join(dir, "io.bfq.weight")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, d := range c.BlkioWeightDevice {
		line := fmt.Sprintf("%d:%d %d", d.Major, d.Minor, cgroups.ConvertBlkIOToIOWeightValue(d.Weight))
		if err := cgroups.WriteFile(dir, "io.weight", line); err != nil {
			return fmt.Errorf("blockIO.weightDevice: %w", err)
		}
	}
	return nil
}
