package main

import (
	"context"
	"flag"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func restoreVerb() *verb {
	o := &lifecycle.RestoreOptions{}
	return &verb{
		name: "restore", args: "container-id", min: 1, max: 1,
		about: "make a container of saved processes (criu)",
		flags: func(f *flag.FlagSet) {
			criuFlags(f, &o.Options)
			stringFlag(f, &o.Bundle, "bundle", "b", "", "`directory` of the bundle (default: the current one)")
			f.StringVar(&o.ConsoleSocket, "console-socket", "", "`path` of a unix socket that gets the terminal's master")
			f.StringVar(&o.PidFile, "pid-file", "", "`file` to write the number of process 1 to")
			boolFlag(f, &o.Detach, "detach", "d", "return when the processes run")
			f.BoolVar(&o.Keep, "keep", false, "leave the container there when it has ended")
			f.BoolVar(&o.NoSubreaper, "no-subreaper", false, "leave orphans of the container to others")
			f.BoolVar(&o.NoPivot, "no-pivot", false, "accepted: criu restores the root file system as it was")
			f.StringVar(&o.LSMProfile, "lsm-profile", "", "security profile instead of the saved one, as `TYPE:NAME`")
			f.StringVar(&o.LSMMountContext, "lsm-mount-context", "", "security `context` of mounts instead of the saved one")
		},
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			if err := paths(&o.Options); err != nil {
				return 1, err
			}
			o.Program = p.criu
			if o.Bundle == "" {
				o.Bundle = "."
			}
			return p.root.Restore(ctx, args[0], o)
		},
	}
}
