//go:build !nodefence_maskwith

package stage

import "os"

// maskWith returns what covers a file: the host's null device, which was
// verified and which no container can replace (CVE-2025-31133).
func (s *setup) maskWith() *os.File { return s.null }
