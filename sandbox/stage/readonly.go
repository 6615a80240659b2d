//go:build !nodefence_readonly

package stage

// readonlyPaths cannot be written by the container.
func (s *setup) readonlyPaths() []string { return s.Spec.Linux.ReadonlyPaths }
