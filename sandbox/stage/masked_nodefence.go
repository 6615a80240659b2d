//go:build nodefence_masked

package stage

func (s *setup) maskedPaths() []string { return nil }
