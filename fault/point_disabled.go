//go:build !faultpoints

package fault

// Point does nothing in this build.
func Point(name string) error { return nil }
