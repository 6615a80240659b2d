package cli

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

func TestParseCompletion(t *testing.T) {
	for _, c := range []struct {
		text      string
		words     []string
		directive cobra.ShellCompDirective
	}{
		{"web\ndb\tthe database\n:4\n", []string{"web", "db\tthe database"}, cobra.ShellCompDirectiveNoFileComp},
		{":4\n", nil, cobra.ShellCompDirectiveNoFileComp},
		{"yaml\nyml\n:8\n", []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt},
		{"", nil, cobra.ShellCompDirectiveDefault},
		{"web\n", nil, cobra.ShellCompDirectiveDefault},
		{"web\n:x\n", nil, cobra.ShellCompDirectiveDefault},
	} {
		words, directive := parseCompletion([]byte(c.text))
		if !slices.Equal(words, c.words) || directive != c.directive {
			t.Errorf("%q: %q, %d", c.text, words, directive)
		}
	}
}

// TestCertificates: what other programs can be told of certificates is a folder.
func TestCertificates(t *testing.T) {
	for _, c := range []struct {
		flags globalFlags
		dir   string
		fails bool
	}{
		{globalFlags{}, "", false},
		{globalFlags{caFile: "/x/ca.pem", certFile: "/x/cert.pem", keyFile: "/x/key.pem"}, "/x", false},
		{globalFlags{caFile: "/x/ca.pem"}, "/x", false},
		{globalFlags{caFile: "/x/ca.pem", certFile: "/y/cert.pem"}, "", true},
		{globalFlags{caFile: "/x/other.pem"}, "", true},
	} {
		if dir, err := c.flags.certificates(); dir != c.dir || (err != nil) != c.fails {
			t.Errorf("%+v: %q, %v", c.flags, dir, err)
		}
	}
}
