package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berth-engine/berth/cli/settings"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type loginFlags struct {
	user, password string
	stdin          bool
}

func newLogin(s *Session) *cobra.Command {
	var o loginFlags
	cmd := &cobra.Command{
		Use:         "login [OPTIONS] [SERVER]",
		Short:       "Authenticate to a registry",
		Long:        "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
		Args:        optionalArg,
		Annotations: map[string]string{commonKey: "8"},
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			switch {
			case o.stdin && f.Changed("password"):
				return errors.New("conflicting options: cannot specify both --password and --password-stdin")
			case o.stdin && !f.Changed("username"):
				return errors.New("the --password-stdin option requires --username to be set")
			case f.Changed("username") && o.user == "":
				return errors.New("username is empty")
			case f.Changed("password") && o.password == "":
				return errors.New("password is empty")
			}
			return s.login(cmd.Context(), loginServer(args), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.password, "password", "p", "", "Password or Personal Access Token (PAT)")
	f.BoolVar(&o.stdin, "password-stdin", false, "Take the Password or Personal Access Token (PAT) from stdin")
	f.StringVarP(&o.user, "username", "u", "", "Username")
	return cmd
}

// loginServer is the name of the credentials for a server on the command line.
func loginServer(args []string) string {
	if len(args) == 0 || args[0] == "" {
		return settings.Hub
	}
	return settings.ServerFor(settings.Hostname(args[0]))
}

func (s *Session) login(ctx context.Context, server string, o loginFlags) error {
	if o.password != "" {
		fmt.Fprintln(s.IO.Err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	}
	if o.stdin {
		b, err := io.ReadAll(s.IO.In)
		if err != nil {
			return err
		}
		o.password = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if o.password == "" {
			return errors.New("password is empty")
		}
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	if o.user == "" && o.password == "" {
		known, err := s.settings().Credentials(server)
		if err == nil && (known.Username != "" && known.Password != "" || known.IdentityToken != "") {
			known.ServerAddress = server
			fmt.Fprintf(s.IO.Err, "Authenticating with existing credentials... [Username: %s]\n\nInfo → To login with a different account, run 'berth logout' followed by 'berth login'\n\n", known.Username)
			if err := s.authenticate(ctx, api, known); err == nil {
				return nil
			}
			fmt.Fprintln(s.IO.Err, "Stored credentials invalid or expired")
			o.user = known.Username
		}
	}
	if err := s.askCredentials(server, &o); err != nil {
		return err
	}
	return s.authenticate(ctx, api, registry.AuthConfig{ServerAddress: server, Username: o.user, Password: o.password})
}

func (s *Session) askCredentials(server string, o *loginFlags) error {
	if o.user != "" && o.password != "" {
		return nil
	}
	if !s.IO.InTTY() {
		return errors.New("Error: Cannot perform an interactive login from a non TTY device")
	}
	if o.user == "" {
		if server == settings.Hub {
			fmt.Fprintln(s.IO.Out, "Log in with your Docker ID or email address to push and pull images from Docker Hub.")
		}
		fmt.Fprint(s.IO.Out, "Username: ")
		line, err := bufio.NewReader(s.IO.In).ReadString('\n')
		if o.user = strings.TrimSpace(line); o.user == "" {
			return errors.Join(errors.New("Error: Non-null Username Required"), err)
		}
	}
	if o.password == "" {
		fmt.Fprint(s.IO.Out, "Password: ")
		p, err := s.IO.Password()
		fmt.Fprintln(s.IO.Out)
		if err != nil {
			return err
		}
		if o.password = p; p == "" {
			return errors.New("Error: Password Required")
		}
	}
	return nil
}

// authenticate lets the daemon try the credentials, and keeps them when the
// registry took them.
func (s *Session) authenticate(ctx context.Context, api *client.Client, c registry.AuthConfig) error {
	r, err := api.RegistryLogin(ctx, client.RegistryLoginOptions{
		Username: c.Username, Password: c.Password, ServerAddress: c.ServerAddress, IdentityToken: c.IdentityToken,
	})
	if err != nil {
		return err
	}
	if r.Auth.IdentityToken != "" {
		c.Password, c.IdentityToken = "", r.Auth.IdentityToken
	}
	file := s.settings()
	plain, err := file.Store(c)
	if err != nil {
		return fmt.Errorf("Error saving credentials: %w", err)
	}
	if plain {
		fmt.Fprintf(s.IO.Err, "\nWARNING! Your credentials are stored unencrypted in '%s'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n", file.Path())
	}
	if r.Auth.Status != "" {
		fmt.Fprintln(s.IO.Out, r.Auth.Status)
	}
	return nil
}
