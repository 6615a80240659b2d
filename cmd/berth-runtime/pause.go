package main

import "context"

func pauseVerb() *verb {
	return &verb{
		name: "pause", args: "container-id", min: 1, max: 1,
		about: "stop all processes of a container",
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			return 0, p.root.Pause(ctx, args[0])
		},
	}
}

func resumeVerb() *verb {
	return &verb{
		name: "resume", args: "container-id", min: 1, max: 1,
		about: "let the processes of a paused container run on",
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			return 0, p.root.Resume(ctx, args[0])
		},
	}
}
