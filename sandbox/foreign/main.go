package foreign

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
)

// Name is os.Args[0] of the helper that becomes a runtime's command. Its
// arguments are how many mounts there are, where they go, and the command.
const Name = "berth-runtime-command"

// Descriptors that the helper finds.
const (
	fdExe    = 3 + iota
	fdMounts // and so on
)

// noRuntime is the helper's exit status when it could not become the runtime.
const noRuntime = 127

// Main is the helper. It does not return.
func Main() {
	runtime.LockOSThread() // the one that is in the mount namespace and executes
	if err := become(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "berth-sandbox:", err)
	}
	os.Exit(noRuntime)
}

func become(args []string) error {
	if len(args) == 0 {
		return os.ErrInvalid
	}
	n, err := strconv.Atoi(args[0])
	if args = args[1:]; err != nil || n < 0 || len(args) <= n {
		return os.ErrInvalid
	}
	// What the monitor ignores is nothing for a container.
	if err := task.DefaultSignals(); err != nil {
		return err
	}
	if n > 0 {
		if err := attach(args[:n]); err != nil {
			return err
		}
	}
	if err := task.CloseOnExec(fdExe); err != nil {
		return err
	}
	return &os.PathError{Op: "execute", Path: args[n], Err: syscall.Exec(args[n], args[n:], os.Environ())}
}

// attach puts the mounts in their places, in a mount namespace of this thread's
// own. Only the mount that the places lie on is cut off from the host's, which
// others would be shown what is mounted: the container may be asked to share
// mounts with the host elsewhere.
func attach(places []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := mount.PrivateAt(filepath.Dir(places[0])); err != nil {
		return err
	}
	for i, place := range places {
		at, err := os.OpenFile(place, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		if err := mount.Attach(os.NewFile(uintptr(fdMounts+i), place), at); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		at.Close()
	}
	return nil
}
