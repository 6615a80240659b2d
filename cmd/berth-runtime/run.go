package main

import (
	"context"
	"flag"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func runVerb() *verb {
	m, o := &making{}, &lifecycle.RunOptions{}
	return &verb{
		name: "run", args: "container-id", min: 1, max: 1,
		about: "make a container, start it, and wait for its end",
		flags: func(f *flag.FlagSet) {
			m.flags(f)
			boolFlag(f, &o.Detach, "detach", "d", "return when the program runs")
			f.BoolVar(&o.Keep, "keep", false, "leave the container there when it has ended")
			f.BoolVar(&o.NoSubreaper, "no-subreaper", false, "leave orphans of the container to others")
		},
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			c, err := m.options()
			if err != nil {
				return 1, err
			}
			o.CreateOptions = *c
			return p.root.Run(ctx, args[0], o)
		},
	}
}
