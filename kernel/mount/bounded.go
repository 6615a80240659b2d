//go:build !nodefence_bounded

package mount

import "io"

// bounded lets at most limit bytes of a stranger's file into memory.
func bounded(r io.Reader, limit int64) io.Reader { return io.LimitReader(r, limit) }
