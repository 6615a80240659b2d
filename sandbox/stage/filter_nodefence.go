//go:build nodefence_filter

package stage

func loadFilter([]byte, uintptr) error { return nil }
