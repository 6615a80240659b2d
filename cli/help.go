package cli

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// annotation keys: the place of a command among the common ones, and all the
// ways to call it.
const (
	commonKey  = "common"
	aliasesKey = "aliases"
)

// setHelp gives help texts Docker's layout. They are written by functions
// rather than templates, which would be parsed at every start.
func setHelp(root *cobra.Command) {
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), usage(cmd))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), usage(cmd))
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &statusError{125, fmt.Errorf("%w\n\nUsage:  %s\n\nRun '%s --help' for more information", err, cmd.UseLine(), cmd.CommandPath())}
	})
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "Help about the command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("unknown help topic: %s", strings.Join(args, " "))
			}
			return c.Help()
		},
	})
}

func usage(cmd *cobra.Command) string {
	var b strings.Builder
	if cmd.HasAvailableSubCommands() {
		b.WriteString("Usage:  " + cmd.CommandPath())
		if cmd.HasAvailableFlags() {
			b.WriteString(" [OPTIONS]")
		}
		b.WriteString(" COMMAND")
	} else {
		b.WriteString("Usage:  " + cmd.UseLine())
	}
	b.WriteString("\n\n" + wrapped(cmp.Or(cmd.Long, cmd.Short), columns(cmd), 0))
	if a := aliases(cmd); a != "" {
		b.WriteString("\n\nAliases:\n  " + a)
	}
	if cmd.HasParent() && cmd.HasAvailableFlags() {
		b.WriteString("\n\nOptions:\n" + flagUsages(cmd))
	}
	section(&b, cmd, "Common Commands", func(c *cobra.Command) bool { return !cmd.HasParent() && c.Annotations[commonKey] != "" })
	section(&b, cmd, "Management Commands", func(c *cobra.Command) bool { return c.HasAvailableSubCommands() && c.Name() != "completion" })
	section(&b, cmd, "Commands", func(c *cobra.Command) bool {
		return (cmd.HasParent() || c.Annotations[commonKey] == "") && (!c.HasAvailableSubCommands() || c.Name() == "completion")
	})
	if !cmd.HasParent() {
		b.WriteString("\n\nGlobal Options:\n" + flagUsages(cmd))
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n\nRun '" + cmd.CommandPath() + " COMMAND --help' for more information on a command.")
	}
	return b.String()
}

func section(b *strings.Builder, cmd *cobra.Command, title string, in func(*cobra.Command) bool) {
	var subs []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && in(c) {
			subs = append(subs, c)
		}
	}
	if len(subs) == 0 {
		return
	}
	slices.SortStableFunc(subs, func(x, y *cobra.Command) int {
		m, _ := strconv.Atoi(x.Annotations[commonKey])
		n, _ := strconv.Atoi(y.Annotations[commonKey])
		if cmd.HasParent() {
			m, n = 0, 0
		}
		return cmp.Or(cmp.Compare(m, n), cmp.Compare(x.Name(), y.Name()))
	})
	b.WriteString("\n\n" + title + ":")
	for _, c := range subs {
		fmt.Fprintf(b, "\n  %-11s %s", c.Name(), wrapped(c.Short, columns(cmd), 14))
	}
}

func aliases(cmd *cobra.Command) string {
	if a := cmd.Annotations[aliasesKey]; a != "" {
		return a
	}
	if len(cmd.Aliases) == 0 {
		return ""
	}
	names := []string{cmd.CommandPath()}
	for _, a := range cmd.Aliases {
		names = append(names, cmd.Parent().CommandPath()+" "+a)
	}
	return strings.Join(names, ", ")
}

// columns is how wide the user's terminal is; 80 without one.
func columns(cmd *cobra.Command) int {
	if f, ok := cmd.InOrStdin().(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// wrapped sets the paragraphs of a text in width columns, all lines but the
// first indented. An empty line is between two paragraphs; lines that begin with
// a space are left as they are.
func wrapped(text string, width, indent int) string {
	var out []string
	current := ""
	end := func() {
		if current != "" {
			out = append(out, current)
		}
		current = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			out = append(out, line)
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if current != "" && indent+utf8.RuneCountInString(current+" "+word) > width {
				end()
			}
			current = strings.TrimPrefix(current+" "+word, " ")
		}
	}
	end()
	return strings.Join(out, "\n"+strings.Repeat(" ", indent))
}

func flagUsages(cmd *cobra.Command) string {
	// Where -h is something else, --help is worth a line.
	if f := cmd.Flags().Lookup("help"); f != nil && f.Shorthand == "" {
		f.Hidden = false
	}
	return strings.TrimRight(cmd.Flags().FlagUsagesWrapped(columns(cmd)-1), " \n")
}
