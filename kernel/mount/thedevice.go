//go:build !nodefence_thedevice

package mount

import "os"

// theDevice tells whether f is the device that it should be, whatever its name
// says.
func theDevice(f *os.File, major, minor uint32) (bool, error) { return IsDevice(f, major, minor) }
