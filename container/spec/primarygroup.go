//go:build !nodefence_primarygroup

package spec

// supplementary begins with the primary group: a process that gives that up
// must not thereby escape a mode like 0705 (CVE-2022-36109).
func supplementary(primary uint32) []uint32 { return []uint32{primary} }
