package cgroup

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A reader reads the small files of control groups for Stats: without os.File,
// which would make each known to the poller, and with one buffer.
type reader struct {
	buf   [4096]byte
	found int   // files that were there
	err   error // the first that says more than "there is no such file"
}

// read returns the text of a file, until the next read; empty if there is
// none.
func (r *reader) read(dir, file string) []byte {
	fd, err := openRetry(dir + "/" + file)
	if err != nil {
		r.fail(dir, file, err)
		return nil
	}
	defer unix.Close(fd)
	b := r.buf[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)] // many processors or devices
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			r.fail(dir, file, err)
			return nil
		}
		if n <= 0 {
			r.found++
			return b
		}
		b = b[:len(b)+n]
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

func (r *reader) fail(dir, file string, err error) {
	// EOPNOTSUPP: a controller that is compiled in and switched off at boot.
	if !gone(err) && !errors.Is(err, unix.EOPNOTSUPP) && r.err == nil {
		r.err = &os.PathError{Op: "read", Path: dir + "/" + file, Err: err}
	}
}

// lines calls each for every line of a file.
func (r *reader) lines(dir, file string, each func(line []byte)) {
	for b := r.read(dir, file); len(b) > 0; {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		each(line)
		b = rest
	}
}

// pairs calls each for every line "key number".
func (r *reader) pairs(dir, file string, each func(key []byte, v uint64)) {
	r.lines(dir, file, func(line []byte) {
		key, text, _ := bytes.Cut(line, []byte{' '})
		if v, ok := number(text); ok {
			each(key, v)
		}
	})
}

// number reads a file with one number; def if there is none in it ("max").
func (r *reader) number(dir, file string, def uint64) uint64 {
	text := r.read(dir, file)
	if v, ok := number(bytes.TrimRight(text, "\n")); ok {
		return v
	}
	return def
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

// set does not allocate a key that is there.
func set(m map[string]uint64, key []byte, v uint64) { m[string(key)] = v }

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
