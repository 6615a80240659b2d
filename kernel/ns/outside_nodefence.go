//go:build nodefence_outside

package ns

func (s *SpawnSpec) staysOutside() bool { return false }
