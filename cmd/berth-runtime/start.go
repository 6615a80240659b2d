package main

import "context"

func startVerb() *verb {
	return &verb{
		name: "start", args: "container-id", min: 1, max: 1,
		about: "execute the program of a created container",
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			return 0, p.root.Start(ctx, args[0])
		},
	}
}
