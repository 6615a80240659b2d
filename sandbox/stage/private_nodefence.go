//go:build nodefence_private

package stage

func cutPropagation() error { return nil }
