package monitor

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// program is this program, as a file that nobody can write to.
type program struct {
	file *os.File

	mu    sync.Mutex
	other unix.Stat_t // the last other one that was looked at
	same  bool        // and whether it is the same
}

// is tells whether exe, the daemon's, is the same program: then orders for that
// are ones for us. A daemon that started later has another file of it.
func (p *program) is(exe *os.File) bool {
	var own, st unix.Stat_t
	if unix.Fstat(int(exe.Fd()), &st) != nil || unix.Fstat(int(p.file.Fd()), &own) != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case st.Dev == own.Dev && st.Ino == own.Ino:
		return true
	case st.Dev != p.other.Dev || st.Ino != p.other.Ino:
		p.other, p.same = st, st.Size == own.Size && equal(exe, p.file, int(st.Size))
	}
	return p.same
}

// equal compares two sealed files.
func equal(a, b *os.File, size int) bool {
	var text [2][]byte
	for i, f := range []*os.File{a, b} {
		m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return false
		}
		defer func() { _ = unix.Munmap(m) }()
		text[i] = m
	}
	return bytes.Equal(text[0], text[1])
}
