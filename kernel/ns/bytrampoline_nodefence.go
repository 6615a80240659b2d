//go:build nodefence_trampoline

package ns

func (s *SpawnSpec) byTrampoline() bool { return false }
