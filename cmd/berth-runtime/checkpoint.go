package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/containerd/errdefs"
)

// checkpointVerbs say that they are not there, whatever their flags.
func checkpointVerbs() []*verb {
	var verbs []*verb
	for name, about := range map[string]string{
		"checkpoint": "not implemented: save the processes of a container",
		"restore":    "not implemented: make a container from saved processes",
	} {
		verbs = append(verbs, &verb{
			name: name, args: "container-id", max: -1, about: about, unparsed: true,
			do: func(context.Context, *program, []string) (int, error) {
				if _, err := exec.LookPath("criu"); err != nil {
					return 1, fmt.Errorf("%s is not implemented, and needs criu, which is not installed: %w", name, errdefs.ErrNotImplemented)
				}
				return 1, fmt.Errorf("%s is not implemented (docs/runtime.md): %w", name, errdefs.ErrNotImplemented)
			},
		})
	}
	return verbs
}
