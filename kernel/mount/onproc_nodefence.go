//go:build nodefence_onproc

package mount

import "os"

// onProc believes it.
func onProc(*os.File) (bool, error) { return true, nil }
