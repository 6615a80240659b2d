//go:build !nodefence_detour

package seccomp

// detours are the rules by which a call that is many lets nothing through that
// the profile stops when it is called by itself.
func detours(rules []rule) []rule { return rules }
