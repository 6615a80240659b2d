package ns

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Kernels since 6.3 want a memfd to say whether it may be executed; older
// ones refuse the flag.
const mfdExec = 0x10

// SealedMemfd copies a program into an anonymous file that nobody can write to
// any more, whatever descriptor or /proc/PID/exe they hold (CVE-2019-5736).
// The descriptor is close-on-exec.
func SealedMemfd(name string, program io.Reader) (*os.File, error) {
	return memfd(name, program, mfdExec, programSeals, sealExec)
}

func memfd(name string, content io.Reader, flag, seals, optionalSeals int) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|flag)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return nil, fmt.Errorf("fill memfd %s: %w", name, err)
	}
	err = addSeals(f, seals|optionalSeals)
	if errors.Is(err, unix.EINVAL) {
		err = addSeals(f, seals)
	}
	if err != nil {
		f.Close()
		return nil, os.NewSyscallError("seal memfd", err)
	}
	return f, nil
}

// sealTries is how often a seal is tried while the kernel holds a page of the file
// for something of its own, as it does when it moves pages about. It waits for
// them by itself, for 150 ms each time (mm/memfd.c).
const sealTries = 20

func addSeals(f *os.File, seals int) (err error) {
	for range sealTries {
		if _, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return err
}

// DataMemfd is a sealed memfd with content that is not a program, positioned
// at its start.
func DataMemfd(name string, content io.Reader) (*os.File, error) {
	f, err := memfd(name, content, unix.MFD_NOEXEC_SEAL, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE, 0)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
