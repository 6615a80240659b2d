package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

func psVerb() *verb {
	var format string
	return &verb{
		name: "ps", args: "container-id [options of ps]", min: 1, max: -1,
		about:       "list the processes of a container",
		programLast: true,
		flags:       func(f *flag.FlagSet) { stringFlag(f, &format, "format", "f", "table", "table or json") },
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			pids, err := p.root.Processes(args[0])
			if err != nil {
				return 1, err
			}
			switch format {
			case "json":
				return 0, json.NewEncoder(os.Stdout).Encode(pids)
			case "table":
				return 0, psTable(ctx, pids, args[1:])
			}
			return 1, errors.New("invalid format option")
		},
	}
}

// psTable prints those lines of ps that are about pids.
func psTable(ctx context.Context, pids []int, options []string) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.CommandContext(ctx, "ps", options...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ps: %w: %s", err, out)
	}
	column := -1
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if column < 0 {
			if column = slices.Index(fields, "PID"); column < 0 {
				return errors.New("couldn't find PID field in ps output")
			}
			fmt.Fprint(os.Stdout, line)
			continue
		}
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("unable to parse pid: %w", err)
		}
		if slices.Contains(pids, pid) {
			fmt.Fprint(os.Stdout, line)
		}
	}
	return nil
}
