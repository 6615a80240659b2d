package cp

import (
	"io/fs"
	"syscall"
)

// identity is comparable and names a file that has several names; nil for
// others.
func identity(info fs.FileInfo) any {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return nil
	}
	return [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // other platforms have other types
}
