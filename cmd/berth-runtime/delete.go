package main

import (
	"context"
	"flag"
)

func deleteVerb() *verb {
	var force bool
	return &verb{
		name: "delete", args: "container-id", min: 1, max: 1,
		about: "remove a stopped container",
		flags: func(f *flag.FlagSet) {
			boolFlag(f, &force, "force", "f", "kill it first if it runs; one that does not exist is no error")
		},
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			return 0, p.root.Delete(ctx, args[0], force)
		},
	}
}
