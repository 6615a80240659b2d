package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/berth-engine/berth/cli/contexts"
	"github.com/berth-engine/berth/cli/format"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func newContext(s *Session) *cobra.Command {
	return group("context", "Manage contexts",
		newContextCreate(s), newContextExport(s), newContextImport(s), newContextInspect(s), newContextLs(s),
		newContextRm(s), newContextShow(s), newContextUpdate(s), newContextUse(s))
}

// currentContext is the name of the context that commands use now, which the
// environment may choose.
func (s *Session) currentContext() string {
	_, name, err := chooseHost(s.flags, os.Getenv, func() string { return s.settings().CurrentContext })
	if err != nil || name == "" {
		return contexts.Default
	}
	return name
}

// defaultContext stands for the flags and the environment.
func (s *Session) defaultContext() *contexts.Context {
	c := &contexts.Context{Name: contexts.Default, Description: "Current BERTH_HOST or DOCKER_HOST based configuration"}
	f := s.flags
	f.context = contexts.Default
	if len(f.hosts.Values) > 0 {
		f.context = ""
	}
	addr, _, _ := chooseHost(f, os.Getenv, func() string { return "" })
	if addr == "" {
		addr = cmp.Or(os.Getenv("BERTH_HOST"), os.Getenv("DOCKER_HOST"))
	}
	if host, err := parseHost(addr, false); err == nil {
		addr = host
	}
	c.Host = addr
	return c
}

func (s *Session) getContext(name string) (*contexts.Context, error) {
	if name == contexts.Default {
		return s.defaultContext(), nil
	}
	return s.contexts().Get(name)
}

func newContextLs(s *Session) *cobra.Command {
	var (
		quiet bool
		text  string
	)
	cmd := &cobra.Command{
		Use: "ls [OPTIONS]", Aliases: []string{"list"}, Short: "List contexts", Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return s.listContexts(quiet, text) },
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "Only show context names")
	cmd.Flags().StringVar(&text, "format", "", formatHelp)
	return cmd
}

func (s *Session) listContexts(quiet bool, text string) error {
	all, err := s.contexts().List()
	all = append([]*contexts.Context{s.defaultContext()}, all...)
	current, found := s.currentContext(), false
	var rows []format.ContextRow
	for _, c := range all {
		found = found || c.Name == current
		rows = append(rows, format.ContextRow{Name: c.Name, Description: c.Description, DockerEndpoint: c.Host, Current: c.Name == current})
	}
	if !found {
		rows = append(rows, format.ContextRow{Name: current, Current: true, Error: fmt.Sprintf("context %q: context not found", current)})
	}
	switch {
	case quiet:
		text = "{{.Name}}"
	case text == "" || text == format.Table:
		text = format.ContextTable
		for i := range rows {
			rows[i] = rows[i].Short()
		}
	}
	if err := format.List(s.IO.Out, text, format.ContextHeader, rows); err != nil {
		return err
	}
	for _, v := range []string{"BERTH_HOST", "DOCKER_HOST"} {
		if os.Getenv(v) != "" && s.flags.context == "" && len(s.flags.hosts.Values) == 0 {
			fmt.Fprintf(s.IO.Err, "Warning: %[1]s environment variable overrides the active context. To use a context, either set the global --context flag, or unset %[1]s environment variable.\n", v)
			break
		}
	}
	return err
}

func newContextShow(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the name of the current context", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.IO.Out, s.currentContext())
			return err
		},
	}
}

func newContextUse(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Set the current context", Args: exactArgs(1), ValidArgsFunction: s.completeContexts(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := s.getContext(args[0]); err != nil {
				return err
			}
			name := args[0]
			if name == contexts.Default {
				name = ""
			}
			if err := s.settings().Use(name); err != nil {
				return err
			}
			fmt.Fprintln(s.IO.Out, args[0])
			fmt.Fprintf(s.IO.Err, "Current context is now %q\n", args[0])
			for _, v := range []string{"BERTH_HOST", "DOCKER_HOST"} {
				if os.Getenv(v) != "" && name != "" {
					fmt.Fprintf(s.IO.Err, "Warning: %s environment variable overrides the active context. To use %q, either set the global --context flag, or unset %s environment variable.\n", v, name, v)
				}
			}
			return nil
		},
	}
}

func newContextRm(s *Session) *cobra.Command {
	var force, dry bool
	cmd := &cobra.Command{
		Use: "rm CONTEXT [CONTEXT...]", Aliases: []string{"remove"}, Short: "Remove one or more contexts",
		Args: someArgs, ValidArgsFunction: s.completeContexts(-1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				if err := s.mayRemoveContext(name, force); err != nil {
					errs = append(errs, err)
					continue
				}
				if dry {
					fmt.Fprintln(s.IO.Out, "Would remove context:", name)
					continue
				}
				if err := s.removeContext(name, force); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(s.IO.Out, name)
			}
			return errors.Join(errs...)
		},
	}
	dryRunFlag(cmd.Flags(), &dry)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the removal of a context in use")
	return cmd
}

// mayRemoveContext says why a context cannot be removed.
func (s *Session) mayRemoveContext(name string, force bool) error {
	if name == contexts.Default {
		return errors.New(`context "default" cannot be removed`)
	}
	if inUse := s.currentContext() == name || s.settings().CurrentContext == name; inUse && !force {
		return fmt.Errorf("context %q is in use, set -f flag to force remove", name)
	}
	if _, err := s.contexts().Get(name); cerrdefs.IsNotFound(err) && !force {
		return fmt.Errorf("context %q does not exist", name)
	}
	return nil
}

func (s *Session) removeContext(name string, force bool) error {
	if s.settings().CurrentContext == name {
		if err := s.settings().Use(""); err != nil {
			return err
		}
	}
	if err := s.contexts().Remove(name); err != nil && !force {
		return err
	}
	return nil
}

// completeContexts offers names, for the first limit arguments; -1: for any
// number.
func (s *Session) completeContexts(limit int) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := []string{contexts.Default}
		all, _ := s.contexts().List()
		for _, c := range all {
			names = append(names, c.Name)
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// endpointFlag is KEY=VALUE words, separated by commas or given one by one; nil
// if none was given.
type endpointFlag []string

// Set adds words.
func (e *endpointFlag) Set(s string) error {
	*e = append(*e, strings.Split(s, ",")...)
	return nil
}

// String and Type are as Docker's help shows the flag.
func (e *endpointFlag) String() string { return fmt.Sprint([]string(*e)) }

// Type names the value in help texts.
func (*endpointFlag) Type() string { return "stringToString" }

// contextSettings reads host=…, ca=… and so on: the endpoint of a context.
func (s *Session) contextSettings(c *contexts.Context, words endpointFlag) error {
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("invalid value %q for --docker: must be KEY=VALUE", word)
		}
		var err error
		switch key {
		case "from":
			var from *contexts.Context
			if from, err = s.getContext(value); err == nil {
				c.Host, c.SkipVerify, c.TLS = from.Host, from.SkipVerify, from.TLS
			}
		case "host":
			if _, err = parseHost(value, false); value != "" && !strings.Contains(value, "://") {
				err = fmt.Errorf("unable to apply docker endpoint options: unable to parse docker host `%s`", value)
			}
			c.Host = value
		case "ca":
			c.TLS.CA, err = os.ReadFile(value)
		case "cert":
			c.TLS.Cert, err = os.ReadFile(value)
		case "key":
			c.TLS.Key, err = os.ReadFile(value)
		case "skip-tls-verify":
			c.SkipVerify, err = parseBool(value)
		default:
			err = fmt.Errorf("unrecognized config key: %s", key)
		}
		if err != nil {
			return fmt.Errorf("unable to create docker endpoint config: %w", err)
		}
	}
	return nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1":
		return true, nil
	case "false", "0", "":
		return false, nil
	}
	return false, fmt.Errorf("skip-tls-verify: %q is neither true nor false", text)
}
