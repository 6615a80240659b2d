package mount

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stat is what fs.FileInfo has no method for (stat(2)).
type Stat struct {
	UID, GID     uint32
	Inode        uint64
	Linked       bool   // under several names
	Major, Minor uint32 // of the device that a node stands for
}

// StatOf returns it; false if info is not one of the os package's.
func StatOf(info fs.FileInfo) (Stat, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Stat{}, false
	}
	return Stat{
		UID: st.Uid, GID: st.Gid, Inode: st.Ino, Linked: st.Nlink > 1,
		Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev),
	}, true
}
