package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/berth-engine/berth/cli/contexts"
	"github.com/berth-engine/berth/cli/format"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

const dockerFlagHelp = "Set the endpoint: from=CONTEXT, host=ADDRESS, ca=FILE, cert=FILE, key=FILE, skip-tls-verify=BOOL (comma-separated)"

func newContextCreate(s *Session) *cobra.Command {
	var (
		description, from string
		endpoint          endpointFlag
	)
	cmd := &cobra.Command{
		Use: "create [OPTIONS] CONTEXT", Short: "Create a context", Args: exactArgs(1),
		Long: "Create a context.\n\n  $ berth context create my-context --description \"some description\" \\\n      --docker \"host=tcp://myserver:2376,ca=~/ca,cert=~/cert,key=~/key\"",
		RunE: func(_ *cobra.Command, args []string) error {
			c := &contexts.Context{Name: args[0]}
			switch {
			case endpoint != nil && from != "":
				return errors.New("cannot use --docker flag when --from is set")
			case endpoint == nil && from == "":
				from = s.currentContext()
			}
			if from != "" {
				origin, err := s.getContext(from)
				if err != nil {
					return err
				}
				*c = *origin
				c.Name = args[0]
			} else if err := s.contextSettings(c, endpoint); err != nil {
				return err
			}
			if description != "" || from == contexts.Default {
				c.Description = description
			}
			return s.addContext(c, "created")
		},
	}
	f := cmd.Flags()
	f.StringVar(&description, "description", "", "Description of the context")
	f.Var(&endpoint, "docker", dockerFlagHelp)
	f.StringVar(&from, "from", "", "Create context from a named context")
	_ = cmd.RegisterFlagCompletionFunc("from", s.completeContexts(-1))
	return cmd
}

// addContext keeps a new context.
func (s *Session) addContext(c *contexts.Context, done string) error {
	if err := contexts.ValidName(c.Name); err != nil {
		return err
	}
	if _, err := s.contexts().Get(c.Name); !cerrdefs.IsNotFound(err) {
		if err == nil {
			err = fmt.Errorf("context %q already exists", c.Name)
		}
		return err
	}
	if err := s.contexts().Put(c); err != nil {
		return err
	}
	fmt.Fprintln(s.IO.Out, c.Name)
	fmt.Fprintf(s.IO.Err, "Successfully %s context %q\n", done, c.Name)
	return nil
}

func newContextUpdate(s *Session) *cobra.Command {
	var (
		description string
		endpoint    endpointFlag
	)
	cmd := &cobra.Command{
		Use: "update [OPTIONS] CONTEXT", Short: "Update a context", Args: exactArgs(1), ValidArgsFunction: s.completeContexts(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := contexts.ValidName(args[0]); err != nil {
				return err
			}
			c, err := s.contexts().Get(args[0])
			if err != nil {
				return err
			}
			if endpoint != nil {
				c.Host, c.SkipVerify, c.TLS = "", false, contexts.TLS{}
				if err := s.contextSettings(c, endpoint); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed("description") {
				c.Description = description
			}
			if err := s.contexts().Put(c); err != nil {
				return err
			}
			fmt.Fprintln(s.IO.Out, c.Name)
			fmt.Fprintf(s.IO.Err, "Successfully updated context %q\n", c.Name)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&description, "description", "", "Description of the context")
	f.Var(&endpoint, "docker", dockerFlagHelp)
	return cmd
}

func newContextExport(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "export [OPTIONS] CONTEXT [FILE|-]", Short: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
		Args: oneOrTwoArgs, ValidArgsFunction: s.completeContexts(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := contexts.ValidName(args[0]); err != nil {
				return err
			}
			c, err := s.contexts().Get(args[0])
			if err != nil {
				return err
			}
			dest := args[0] + ".dockercontext"
			if len(args) == 2 {
				dest = args[1]
			}
			if dest == "-" {
				if s.IO.OutTTY() {
					return errors.New("cowardly refusing to export to a terminal, specify a file path")
				}
				return c.Export(s.IO.Out)
			}
			f, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it may hold a key
			if err != nil {
				return err
			}
			if err := errors.Join(c.Export(f), f.Close()); err != nil {
				return errors.Join(err, os.Remove(dest))
			}
			fmt.Fprintf(s.IO.Err, "Written file %q\n", dest)
			return nil
		},
	}
}

func newContextImport(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "import CONTEXT FILE|-", Short: "Import a context from a tar file", Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			in := s.IO.In
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			c, err := contexts.Import(args[0], in)
			if err != nil {
				return err
			}
			return s.addContext(c, "imported")
		},
	}
}

func newContextInspect(s *Session) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] [CONTEXT] [CONTEXT...]", Short: "Display detailed information on one or more contexts",
		ValidArgsFunction: s.completeContexts(-1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{s.currentContext()}
			}
			err := format.Inspect(s.IO.Out, args, text, s.showContext)
			if errors.Is(err, format.ErrTemplate) {
				return &statusError{64, err}
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&text, "format", "f", "", inspectFormatHelp)
	return cmd
}

// shownContext is a context as inspect shows it.
type shownContext struct {
	Name      string
	Metadata  map[string]any
	Endpoints map[string]shownEndpoint
	// TLSMaterial lists the files of each endpoint.
	TLSMaterial map[string][]string
	Storage     struct{ MetadataPath, TLSPath string }
}

type shownEndpoint struct {
	Host          string
	SkipTLSVerify bool
}

func (s *Session) showContext(name string) (format.Found, error) {
	c, err := s.getContext(name)
	if err != nil {
		return format.Found{}, err
	}
	shown := shownContext{
		Name: c.Name, Metadata: map[string]any{}, TLSMaterial: map[string][]string{},
		Endpoints: map[string]shownEndpoint{contexts.Endpoint: {c.Host, c.SkipVerify}},
	}
	if c.Description != "" && name != contexts.Default {
		shown.Metadata["Description"] = c.Description
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"ca.pem", c.TLS.CA}, {"cert.pem", c.TLS.Cert}, {"key.pem", c.TLS.Key}} {
		if f.data != nil {
			shown.TLSMaterial[contexts.Endpoint] = append(shown.TLSMaterial[contexts.Endpoint], f.name)
		}
	}
	shown.Storage.MetadataPath, shown.Storage.TLSPath = "<IN MEMORY>", "<IN MEMORY>"
	if name != contexts.Default {
		shown.Storage.MetadataPath, shown.Storage.TLSPath = s.contexts().MetaDir(name), s.contexts().TLSDir(name)
	}
	raw, err := json.Marshal(shown)
	return format.Found{Value: shown, Raw: raw}, err
}
