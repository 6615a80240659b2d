//go:build !nodefence_closeproc

package stage

// closeProc drops the procfs instance, in which nothing is masked, before a
// working directory is looked for: /proc/self/fd/N must not lead there.
func (s *setup) closeProc() error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.Close()
	s.proc = nil
	return err
}
