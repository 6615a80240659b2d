package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func featuresVerb() *verb {
	return &verb{
		name: "features", about: "print what configurations may ask for",
		do: func(context.Context, *program, []string) (int, error) {
			features := lifecycle.Features()
			features.Annotations = map[string]string{
				"org.berth-engine.runtime.version": version,
				"org.berth-engine.runtime.commit":  commit,
				// Callers that have this program in runc's place look for it.
				"org.opencontainers.runc.checkpoint.enabled": "true",
			}
			e := json.NewEncoder(os.Stdout)
			e.SetIndent("", "    ")
			return 0, e.Encode(features)
		},
	}
}
