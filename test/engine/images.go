package engine

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// PushBusybox makes an image of Debian's busybox-static and pushes it to the
// Hub as library/busybox:latest.
func PushBusybox(ctx context.Context, h *Hub) error {
	bin, err := Bin()
	if err != nil {
		return err
	}
	return run(ctx, filepath.Join(bin, "mkimage"), "--busybox", "http://"+h.Addr+"/library/busybox:latest")
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}
