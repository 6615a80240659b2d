//go:build nodefence_workdir

package stage

func inside() error { return nil }
