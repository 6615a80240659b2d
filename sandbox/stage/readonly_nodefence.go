//go:build nodefence_readonly

package stage

func (s *setup) readonlyPaths() []string { return nil }
