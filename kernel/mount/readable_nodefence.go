//go:build nodefence_readable

package mount

import "os"

// readable believes that all files are like others.
func readable(os.FileInfo) bool { return true }
