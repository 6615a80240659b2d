package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A StatsReader reads the counters of one group again and again, through
// descriptors that stay open: opening is five sixths of the work. It does
// without os.File, which would make each file known to the poller. It is for
// one goroutine.
type StatsReader struct {
	g       *Group
	sources []source
	files   []int // by source; negative: there is no such file
	buf     []byte
}

// OpenStats makes a reader, which the caller closes.
func (g *Group) OpenStats() *StatsReader {
	if g.host.mode == V2 {
		return &StatsReader{g: g, sources: sourcesV2}
	}
	return &StatsReader{g: g, sources: sourcesV1}
}

// Read reads the counters into s; what s has allocated is used again. The error
// is errdefs.NotFound when the group is gone.
func (r *StatsReader) Read(s *Stats) error {
	if r.files == nil {
		if err := r.open(); err != nil {
			return fmt.Errorf("statistics of cgroup %s: %w", r.g.name, err)
		}
	}
	s.reset()
	found := 0
	for i, src := range r.sources {
		if r.files[i] < 0 {
			continue
		}
		text, err := r.text(r.files[i])
		switch {
		case err == nil:
			found++
			src.parse(s, text)
		case !absent(err):
			return fmt.Errorf("statistics of cgroup %s: read %s: %w", r.g.name, src.file, err)
		}
	}
	if found == 0 {
		return fmt.Errorf("statistics of cgroup %s: %w", r.g.name, errdefs.ErrNotFound)
	}
	return nil
}

func (r *StatsReader) open() error {
	r.buf = make([]byte, 4096)
	r.files = make([]int, len(r.sources))
	for i, src := range r.sources {
		r.files[i] = -1
		dir, ok := r.g.dirs[src.controller]
		if !ok {
			continue
		}
		fd, err := openRetry(dir + "/" + src.file)
		switch {
		case err == nil:
			r.files[i] = fd
		case !absent(err):
			return errors.Join(&os.PathError{Op: "open", Path: dir + "/" + src.file, Err: err}, r.Close())
		}
	}
	return nil
}

// Close closes the files. A later Read opens them again.
func (r *StatsReader) Close() error {
	for _, fd := range r.files {
		if fd >= 0 {
			_ = unix.Close(fd) // only read
		}
	}
	r.files = nil
	return nil
}

// text returns all of a file, until the next call. The kernel gives each of
// these files in one piece if there is room for it.
func (r *StatsReader) text(fd int) ([]byte, error) {
	for {
		n, err := unix.Pread(fd, r.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n < len(r.buf):
			return r.buf[:n], nil
		default: // many processors or devices
			r.buf = make([]byte, 2*len(r.buf))
		}
	}
}

func openRetry(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// absent tells of an error that it says: the group is gone, or this kernel or
// its command line is without this file.
func absent(err error) bool { return gone(err) || errors.Is(err, unix.EOPNOTSUPP) }

// lines calls each for every line.
func lines(text []byte, each func(line []byte)) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		each(line)
		text = rest
	}
}

// pairs calls each for every line "key number".
func pairs(text []byte, each func(key []byte, v uint64)) {
	lines(text, func(line []byte) {
		key, value, _ := bytes.Cut(line, []byte{' '})
		if v, ok := number(value); ok {
			each(key, v)
		}
	})
}

// into reads a file of one number; other words ("max") leave v as it is.
func into(v *uint64, text []byte) {
	if n, ok := number(bytes.TrimRight(text, "\n")); ok {
		*v = n
	}
}

// number reads decimal digits; more than 64 bits is not a number.
func number(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (NoLimit-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, len(b) > 0
}

func appendNumbers(to []uint64, line []byte) []uint64 {
	for field := range bytes.FieldsSeq(line) {
		if v, ok := number(field); ok {
			to = append(to, v)
		}
	}
	return to
}

// appendBlkio reads "8:0 Read 4096"; the sum over all devices, "Total 4096",
// is left out.
func appendBlkio(to []IOCount, line []byte) []IOCount {
	dev, rest, _ := bytes.Cut(line, []byte{' '})
	op, text, ok := bytes.Cut(rest, []byte{' '})
	c, isDev := device(dev)
	v, isNumber := number(text)
	if !ok || !isDev || !isNumber {
		return to
	}
	c.Op, c.Value = opName(op), v
	return append(to, c)
}

// appendIOStat reads "8:0 rbytes=1 wbytes=2 rios=3 …".
func appendIOStat(to []IOCount, line []byte) []IOCount {
	dev, rest, _ := bytes.Cut(line, []byte{' '})
	c, ok := device(dev)
	if !ok {
		return to
	}
	for field := range bytes.FieldsSeq(rest) {
		key, text, _ := bytes.Cut(field, []byte{'='})
		v, ok := number(text)
		switch {
		case !ok:
		case string(key) == "rbytes":
			to = append(to, IOCount{c.Major, c.Minor, "read", v})
		case string(key) == "wbytes":
			to = append(to, IOCount{c.Major, c.Minor, "write", v})
		}
	}
	return to
}

func device(text []byte) (c IOCount, ok bool) {
	major, minor, _ := bytes.Cut(text, []byte{':'})
	var okMajor, okMinor bool
	c.Major, okMajor = number(major)
	c.Minor, okMinor = number(minor)
	return c, okMajor && okMinor
}

// opName avoids a string of its own for each of the words there are.
func opName(op []byte) string {
	switch string(op) {
	case "Read":
		return "Read"
	case "Write":
		return "Write"
	case "Sync":
		return "Sync"
	case "Async":
		return "Async"
	case "Discard":
		return "Discard"
	case "Total":
		return "Total"
	}
	return string(op)
}
