package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// unpack does what no engine can leave out when it takes an image whose layers are
// gzip files in dir: each is read, its SHA-256 compared with its name, inflated,
// the tar summed, too, as an image's config lists it, and written to files, one
// layer on each processor. It prints the wall and processor times in milliseconds.
func unpack(dir, into string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	begin := time.Now()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, e := range list {
		g.Go(func() error {
			if err := layer(filepath.Join(dir, e.Name()), filepath.Join(into, e.Name())); err != nil {
				return fmt.Errorf("%s: %w", e.Name(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	wall := time.Since(begin)
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	fmt.Fprintf(os.Stdout, "%.3f %.3f\n", float64(wall.Microseconds())/1000, float64(cpu.Microseconds())/1000)
	return nil
}

func layer(path, into string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	packed, plain := sha256.New(), sha256.New()
	zip, err := gzip.NewReader(io.TeeReader(f, packed))
	if err != nil {
		return err
	}
	all := io.TeeReader(zip, plain)
	if err := files(all, into); err != nil {
		return err
	}
	for _, rest := range []io.Reader{all, io.TeeReader(f, packed)} {
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return err
		}
	}
	if want, err := hex.DecodeString(filepath.Base(path)); err != nil || !bytes.Equal(want, packed.Sum(nil)) {
		return fmt.Errorf("it has the digest %x", packed.Sum(nil))
	}
	return nil
}

// files writes the entries of a tar that is trusted: nothing in it leads out.
func files(r io.Reader, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(into, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			if err = os.Mkdir(path, h.FileInfo().Mode().Perm()); errors.Is(err, os.ErrExist) {
				err = nil
			}
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		case tar.TypeReg:
			err = file(path, h, t, buf)
		default:
			err = fmt.Errorf("entry %s has the type %q", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func file(path string, h *tar.Header, r io.Reader, buf []byte) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(h.Mode)&0o7777) //nolint:gosec // permissions
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for {
		n, err := r.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			w, err := syscall.Write(fd, b)
			if err != nil {
				return err
			}
			b = b[w:]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	at := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
