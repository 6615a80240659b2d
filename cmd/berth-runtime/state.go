package main

import (
	"context"
	"encoding/json"
	"os"
)

func stateVerb() *verb {
	return &verb{
		name: "state", args: "container-id", min: 1, max: 1,
		about: "print the state of a container",
		do: func(_ context.Context, p *program, args []string) (int, error) {
			s, err := p.root.State(args[0])
			if err != nil {
				return 1, err
			}
			data, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				return 1, err
			}
			_, err = os.Stdout.Write(data)
			return 0, err
		},
	}
}
