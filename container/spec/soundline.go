//go:build !nodefence_soundline

package spec

// soundLine tells whether a line's numbers are ids. The parser would take
// others for 0, which is root.
func soundLine(fields []string, numeric []int) bool { return sound(fields, numeric) }
