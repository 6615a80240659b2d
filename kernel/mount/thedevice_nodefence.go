//go:build nodefence_thedevice

package mount

import "os"

// theDevice goes by the name.
func theDevice(*os.File, uint32, uint32) (bool, error) { return true, nil }
