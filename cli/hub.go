package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// newHub makes the commands that administer a Hub, with the credentials that
// `berth login` keeps for it. What they ask is docs/hub.md's.
func newHub(s *Session) *cobra.Command {
	cmd := &cobra.Command{Use: "hub", Short: "Administer a Berth Hub", Args: noArgs}
	var plain bool
	cmd.PersistentFlags().BoolVar(&plain, "plain-http", false, "Speak HTTP without TLS to a Hub that is not on this machine")
	at := func(host string) *hubClient { return &hubClient{s: s, host: host, plain: plain || loopback(host)} }
	cmd.AddCommand(newHubAPI(at), newHubRepos(at), newHubWhoami(at))
	return cmd
}

func newHubAPI(at func(string) *hubClient) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "api [OPTIONS] HOST METHOD PATH",
		Short: "Call a Hub's interface",
		Long:  "Call a Hub's interface: PATH is below /api/v1/. The answer is printed as it comes.",
		Example: `  berth hub api hub.example.com GET repositories/team/app/-/tags
  berth hub api hub.example.com POST namespaces/team/-/robots --data '{"name": "ci"}'`,
		Args: exactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			h := at(args[0])
			body, err := h.body(data)
			if err != nil {
				return err
			}
			answer, err := h.do(cmd.Context(), strings.ToUpper(args[1]), args[2], body)
			if err != nil {
				return err
			}
			defer answer.Close()
			_, err = io.Copy(h.s.IO.Out, answer) // a log that is followed has no end of its own
			return err
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "", "JSON to send; @FILE, or @- for standard input")
	return cmd
}

func newHubRepos(at func(string) *hubClient) *cobra.Command {
	return &cobra.Command{
		Use:   "repos HOST [TERM]",
		Short: "List a Hub's repositories that you may read",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"limit": {"1000"}}
			if len(args) == 2 {
				query.Set("search", args[1])
			}
			h := at(args[0])
			answer, err := h.call(cmd.Context(), http.MethodGet, "repositories?"+query.Encode(), nil)
			if err != nil {
				return err
			}
			var list []struct {
				Name, Description string
				Public            bool
				Tags, Pulls       int64
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				return fmt.Errorf("%s does not answer as a Hub: %w", h.host, err)
			}
			w := tabwriter.NewWriter(h.s.IO.Out, 10, 1, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tVISIBILITY\tTAGS\tPULLS\tDESCRIPTION")
			for _, r := range list {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", r.Name, map[bool]string{true: "public", false: "private"}[r.Public], r.Tags, r.Pulls, printable(r.Description))
			}
			return w.Flush()
		},
	}
}

func newHubWhoami(at func(string) *hubClient) *cobra.Command {
	return &cobra.Command{
		Use:   "whoami HOST",
		Short: "Show as whom you are signed in at a Hub",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h := at(args[0])
			answer, err := h.call(cmd.Context(), http.MethodGet, "user", nil)
			if err != nil {
				return err
			}
			var who struct {
				Name   string
				Scopes []string
			}
			if err := json.Unmarshal(answer, &who); err != nil {
				return fmt.Errorf("%s does not answer as a Hub: %w", h.host, err)
			}
			if who.Name == "" {
				return fmt.Errorf("you are not signed in at %s: `berth login %s`", h.host, h.host)
			}
			fmt.Fprintln(h.s.IO.Out, printable(strings.TrimSpace(who.Name+" "+strings.Join(who.Scopes, " "))))
			return nil
		},
	}
}
