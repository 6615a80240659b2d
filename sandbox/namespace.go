package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
)

// Namespace opens a namespace of process 1 ("mnt", "net", …) as its file in
// /proc/PID/ns is called. The error is errdefs.NotFound when the process has
// ended.
func (s *Sandbox) Namespace(kind string) (*os.File, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(s.pid) + "/ns/" + kind)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s namespace of %s: %w", kind, s.id, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s namespace of %s: %w", kind, s.id, err)
	}
	// The number may belong to another process by now. If it is still this one,
	// it was when the file was opened.
	if start, err := ns.ProcessStartTime(s.pid); err != nil || start != s.startTime {
		f.Close()
		return nil, fmt.Errorf("%s namespace of %s: %w", kind, s.id, errdefs.ErrNotFound)
	}
	return f, nil
}
