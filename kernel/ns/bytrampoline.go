//go:build !nodefence_trampoline

package ns

// byTrampoline tells whether the script is done by a program in sealed memory:
// a copy of a caller whose program is a file of the host's must not join a
// container, where /proc/PID/exe leads to that file (CVE-2019-5736).
func (s *SpawnSpec) byTrampoline() bool { return s.Script != nil && s.Seal != nil }
