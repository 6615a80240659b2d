package cgroup

import (
	"context"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fileWatch tells when the kernel changes files of the unified hierarchy
// that it announces: cgroup.events, memory.events.
type fileWatch struct {
	f   *os.File // inotify
	raw syscall.RawConn
}

func newFileWatch() (*fileWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fileWatch{f: f, raw: raw}, nil
}

// watchFile watches one file.
func watchFile(path string) (*fileWatch, error) {
	w, err := newFileWatch()
	if err != nil {
		return nil, err
	}
	if _, err := w.add(path); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// add returns the number by which read names the file.
func (w *fileWatch) add(path string) (int32, error) {
	var n int
	var err error
	if cerr := w.raw.Control(func(fd uintptr) {
		n, err = unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY)
	}); cerr != nil {
		return 0, cerr
	}
	if err != nil {
		return 0, &os.PathError{Op: "watch", Path: path, Err: err}
	}
	return int32(n), nil
}

// remove ends the watch of a file; the kernel does it by itself when the file
// goes away.
func (w *fileWatch) remove(n int32) {
	_ = w.raw.Control(func(fd uintptr) {
		_, _ = unix.InotifyRmWatch(int(fd), uint32(n)) // it may be gone
	})
}

// read waits for changes and returns the numbers of the files, at most once
// for each in a row; os.ErrDeadlineExceeded after the file's deadline.
func (w *fileWatch) read() ([]int32, error) {
	var buf [4096]byte
	n, err := w.f.Read(buf[:])
	if err != nil {
		return nil, err
	}
	var changed []int32
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
		b = b[min(len(b), unix.SizeofInotifyEvent+int(e.Len)):]
		if e.Mask&unix.IN_MODIFY != 0 && (len(changed) == 0 || changed[len(changed)-1] != e.Wd) {
			changed = append(changed, e.Wd)
		}
	}
	return changed, nil
}

// next waits for a change, or the end of ctx.
func (w *fileWatch) next(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = w.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.read()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (w *fileWatch) Close() error { return w.f.Close() }
