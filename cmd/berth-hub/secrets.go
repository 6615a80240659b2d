package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/spf13/cobra"
)

// sealed is everything in the database that is.
func sealed() []seal.Column {
	return slices.Concat(account.Sealed(), webhook.Sealed(), mirror.Sealed(), autobuild.Sealed())
}

// secretsCommand changes the key that seals secrets, also while the Hub runs.
func secretsCommand() *cobra.Command {
	c := &cobra.Command{Use: "secrets", Short: "Change the key that seals secrets in the database"}
	var o dataOptions
	o.flags(c.PersistentFlags())
	o.keyFlag(c.PersistentFlags())
	c.AddCommand(&cobra.Command{
		Use:   "rotate",
		Short: "Make a new key and seal everything by it; the old one stays in the file until `forget`",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.reseal(c, (*seal.Key).Rotate, nil)
		},
	}, &cobra.Command{
		Use:   "forget",
		Short: "Seal by the present key what an older one still seals, and remove the older ones from the file",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.reseal(c, nil, (*seal.Key).Forget)
		},
	})
	return c
}

// reseal seals everything by the present key, with what is to be done before and
// after. What no key opens is an error, and nothing is forgotten then: a key may
// be missing.
func (o dataOptions) reseal(c *cobra.Command, before, after func(*seal.Key) error) (err error) {
	ctx := context.WithoutCancel(c.Context())
	db, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	key, err := o.key()
	if err == nil && before != nil {
		err = before(key)
	}
	if err != nil {
		return err
	}
	done, err := key.Reseal(ctx, db, sealed()...)
	fmt.Fprintf(c.OutOrStdout(), "%d secrets are sealed by the present key now\n", done.Sealed)
	for _, purpose := range done.Lost {
		fmt.Fprintln(c.ErrOrStderr(), "no key opens:", purpose)
	}
	if err == nil && len(done.Lost) > 0 {
		err = fmt.Errorf("%d secrets are lost unless their key comes back: put it into the file, in a line below the others, or set them anew", len(done.Lost))
	}
	if err == nil && after != nil {
		err = after(key)
	}
	return err
}
