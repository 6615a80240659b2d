package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/berth-engine/berth/api"
	"github.com/spf13/cobra"
)

// newNetworkRules makes "rules" below "network".
func newNetworkRules(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:   "rules",
		Short: "Show the firewall rules of all networks, as nft would",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return s.networkRules(cmd.Context()) },
	}
}

func (s *Session) networkRules(ctx context.Context) error {
	var f api.Firewall
	if err := s.call(ctx, http.MethodGet, "/system/firewall", nil, nil, &f); err != nil {
		return err
	}
	fmt.Fprintf(s.IO.Out, "# publish-policy %s\n", f.PublishPolicy)
	if _, err := io.WriteString(s.IO.Out, f.Table); err != nil {
		return err
	}
	for _, w := range f.Warnings {
		fmt.Fprintln(s.IO.Err, "WARNING: "+w)
	}
	return nil
}
