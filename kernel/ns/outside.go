//go:build !nodefence_outside

package ns

// staysOutside tells whether only the process's children are in the pid namespace
// that it joins: in there, others would see it, and could kill it or look into it.
func (s *SpawnSpec) staysOutside() bool { return s.Outside }
