package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/spf13/cobra"
)

// userCommand administers accounts in the database itself, for who may read
// its file: also while the Hub runs.
func userCommand() *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "Make accounts and mend them, in the Hub's database"}
	var o dataOptions
	o.flags(c.PersistentFlags())
	var admin bool
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Make an account; the password is one line of standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withPassword(c, o, func(ctx context.Context, s *account.Service, password string) error {
				_, err := s.CreateUser(ctx, account.System("command"), account.NewUser{Name: args[0], Password: password, Admin: admin})
				return err
			})
		},
	}
	add.Flags().BoolVar(&admin, "admin", false, "an administrator of the Hub")
	reset := &cobra.Command{
		Use:   "password NAME",
		Short: "Set a password, switch the second factor off, end all sessions; the password is one line of standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withPassword(c, o, func(ctx context.Context, s *account.Service, password string) error {
				return s.ResetPassword(ctx, account.System("command"), args[0], password)
			})
		},
	}
	token := &cobra.Command{
		Use:   "setup-token",
		Short: "Print a new first-run token, for when the first was lost",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withAccounts(c.Context(), o, func(ctx context.Context, s *account.Service) error {
				token, err := s.FirstRun(ctx, true)
				if err == nil && token == "" {
					err = errors.New("the Hub has accounts already: use `berth-hub user password NAME` or `berth-hub user add NAME --admin`")
				}
				if err == nil {
					fmt.Fprintln(c.OutOrStdout(), token)
				}
				return err
			})
		},
	}
	c.AddCommand(add, reset, token)
	return c
}

func withAccounts(ctx context.Context, o dataOptions, f func(ctx context.Context, s *account.Service) error) error {
	db, err := o.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, account.New(db, account.Options{})), db.Close())
}

func withPassword(c *cobra.Command, o dataOptions, f func(ctx context.Context, s *account.Service, password string) error) error {
	line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return withAccounts(c.Context(), o, func(ctx context.Context, s *account.Service) error {
		return f(ctx, s, strings.TrimRight(line, "\r\n"))
	})
}
