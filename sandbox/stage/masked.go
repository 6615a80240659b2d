//go:build !nodefence_masked

package stage

// maskedPaths are hidden from the container.
func (s *setup) maskedPaths() []string { return s.Spec.Linux.MaskedPaths }
