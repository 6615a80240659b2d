package opts

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
)

// Weights collects --blkio-weight-device flags.
type Weights struct{ Values []*blkiodev.WeightDevice }

// Set parses /dev/x:weight.
func (w *Weights) Set(s string) error {
	dev, val, err := blockDevice(s)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(val, 10, 16)
	if err != nil || (n > 0 && (n < 10 || n > 1000)) {
		return fmt.Errorf("invalid weight for device: %s", s)
	}
	w.Values = append(w.Values, &blkiodev.WeightDevice{Path: dev, Weight: uint16(n)})
	return nil
}

// String shows the devices as Docker's help does.
func (w *Weights) String() string { return fmt.Sprint(w.Values) }

// Type names the value in help texts.
func (*Weights) Type() string { return "list" }

// Rates collects the --device-read-bps family. IOps says that the number is a
// count of operations and takes no unit.
type Rates struct {
	IOps   bool
	Values []*blkiodev.ThrottleDevice
}

// Set parses /dev/x:rate.
func (r *Rates) Set(s string) error {
	dev, val, err := blockDevice(s)
	if err != nil {
		return err
	}
	if r.IOps {
		n, err := strconv.ParseUint(val, 10, 64)
		if err != nil {
			return fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a positive integer", s)
		}
		r.Values = append(r.Values, &blkiodev.ThrottleDevice{Path: dev, Rate: n})
		return nil
	}
	n, err := units.RAMInBytes(val)
	if err != nil || n < 0 {
		return fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb", s)
	}
	r.Values = append(r.Values, &blkiodev.ThrottleDevice{Path: dev, Rate: uint64(n)})
	return nil
}

// String shows the devices as Docker's help does.
func (r *Rates) String() string { return fmt.Sprint(r.Values) }

// Type names the value in help texts.
func (*Rates) Type() string { return "list" }

func blockDevice(s string) (dev, val string, err error) {
	dev, val, ok := strings.Cut(s, ":")
	if !ok || dev == "" {
		return "", "", fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(dev, "/dev/") {
		return "", "", fmt.Errorf("bad format for device path: %s", s)
	}
	return dev, val, nil
}
