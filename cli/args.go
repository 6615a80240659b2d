package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func unknownCommand(cmd *cobra.Command, name string) error {
	use := ""
	if cmd.HasParent() {
		use = "Usage:  " + cmd.CommandPath() + " COMMAND\n\n"
	}
	return fmt.Errorf("berth: unknown command: %s %s\n\n%sRun '%s --help' for more information", cmd.CommandPath(), name, use, cmd.CommandPath())
}

func argsError(cmd *cobra.Command, what string) error { return lookUp(cmd, what, "Run") }

// lookUp says what is wrong and where to look it up, in the words that Docker has
// for each.
func lookUp(cmd *cobra.Command, what, verb string) error {
	return fmt.Errorf("berth: '%s' %s\n\nUsage:  %s\n\n%s '%s --help' for more information", cmd.CommandPath(), what, cmd.UseLine(), verb, cmd.CommandPath())
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return argsError(cmd, "accepts no arguments")
}

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return argsError(cmd, fmt.Sprintf("requires %d %s", n, arguments(n)))
	}
}

func someArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return lookUp(cmd, "requires at least 1 argument", "See")
}

func atLeast(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return lookUp(cmd, fmt.Sprintf("requires at least %d %s", n, arguments(n)), "See")
	}
}

// optionalArg accepts one argument or none.
func optionalArg(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return argsError(cmd, "requires at most 1 argument")
}

// oneOrTwoArgs accepts one argument or two.
func oneOrTwoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return argsError(cmd, "requires at least 1 and at most 2 arguments")
}

func arguments(n int) string {
	if n == 1 {
		return "argument"
	}
	return "arguments"
}

// callable are the annotations of a command with several names. place is its
// rank among the common commands, 0 for none.
func callable(place int, names ...string) map[string]string {
	m := map[string]string{aliasesKey: "berth " + strings.Join(names, ", berth ")}
	if place > 0 {
		m[commonKey] = fmt.Sprint(place)
	}
	return m
}

const (
	formatHelp = `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template`
	inspectFormatHelp = `Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template`
)

func filterFlag(f *pflag.FlagSet, v *opts.Filter) {
	f.VarP(v, "filter", "f", "Filter output based on conditions provided")
}

func platformFlag(cmd *cobra.Command, v *string, def string) {
	cmd.Flags().StringVar(v, "platform", def, "Set platform if server is multi-platform capable")
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
}

// each does one thing to every name, up to fifty at once, and prints the name
// of each that succeeded in the order given. The errors are joined.
func (s *Session) each(ctx context.Context, names []string, do func(ctx context.Context, name string) error) error {
	results := make([]chan error, len(names))
	slots := make(chan struct{}, 50)
	for i, name := range names {
		results[i] = make(chan error, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] <- do(ctx, name)
		}()
	}
	var errs []error
	for i, name := range names {
		switch err := <-results[i]; {
		case errors.Is(err, errSkip):
		case err != nil:
			errs = append(errs, err)
		default:
			fmt.Fprintln(s.IO.Out, name)
		}
	}
	return errors.Join(errs...)
}

// errSkip tells each to print nothing about a name.
var errSkip = errors.New("skip")
