package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func listVerb() *verb {
	var format string
	var quiet bool
	return &verb{
		name: "list", about: "list containers",
		flags: func(f *flag.FlagSet) {
			stringFlag(f, &format, "format", "f", "table", "table or json")
			boolFlag(f, &quiet, "quiet", "q", "print IDs alone")
		},
		do: func(_ context.Context, p *program, _ []string) (int, error) {
			list, err := p.root.List()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 1, err
			}
			return 0, printList(list, format, quiet)
		},
	}
}

func printList(list []lifecycle.State, format string, quiet bool) error {
	if quiet {
		for _, s := range list {
			fmt.Fprintln(os.Stdout, s.ID)
		}
		return nil
	}
	switch format {
	case "json":
		return json.NewEncoder(os.Stdout).Encode(list)
	case "table":
		w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range list {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		return w.Flush()
	default:
		return errors.New("invalid format option")
	}
}
