//go:build nodefence_soundline

package spec

func soundLine([]string, []int) bool { return true }
