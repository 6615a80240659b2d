package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func specVerb() *verb {
	var bundle string
	var rootless bool
	return &verb{
		name: "spec", about: "write a config.json to begin with",
		flags: func(f *flag.FlagSet) {
			stringFlag(f, &bundle, "bundle", "b", "", "`directory` of the bundle (default: the current one)")
			f.BoolVar(&rootless, "rootless", false, "for a user who is not root")
		},
		do: func(context.Context, *program, []string) (int, error) {
			spec := lifecycle.Example()
			if rootless {
				lifecycle.Rootless(spec)
			}
			data, err := json.MarshalIndent(spec, "", "\t")
			if err != nil {
				return 1, err
			}
			path := filepath.Join(bundle, "config.json")
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
			if errors.Is(err, fs.ErrExist) {
				return 1, fmt.Errorf("file %s exists. Remove it first", path)
			}
			if err != nil {
				return 1, err
			}
			_, err = f.Write(data)
			return 0, errors.Join(err, f.Close())
		},
	}
}
