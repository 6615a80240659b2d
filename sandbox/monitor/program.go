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
		p.other, p.same = st, st.Size == own.Size && equal(exe, p.file, st.Size)
	}
	return p.same
}

// equal compares two sealed files.
func equal(a, b *os.File, size int64) bool {
	var text [2][16 << 10]byte
	for at := int64(0); at < size; {
		n, err := a.ReadAt(text[0][:min(size-at, int64(len(text[0])))], at)
		if err != nil {
			return false
		}
		if _, err := b.ReadAt(text[1][:n], at); err != nil || !bytes.Equal(text[0][:n], text[1][:n]) {
			return false
		}
		at += int64(n)
	}
	return true
}
