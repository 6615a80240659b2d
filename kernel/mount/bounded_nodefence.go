//go:build nodefence_bounded

package mount

import "io"

// bounded reads whatever is there.
func bounded(r io.Reader, _ int64) io.Reader { return r }
