package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/command"
	dclient "github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// TestDryRun looks for commands that remove something and cannot tell what.
func TestDryRun(t *testing.T) {
	docker, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "rm" || c.Name() == "prune" {
			found = append(found, c.CommandPath())
			if c.Flags().Lookup("dry-run") == nil {
				t.Errorf("%s has no --dry-run", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand(name, false, docker))
	slices.Sort(found)
	if got := strings.Join(found, ", "); got != "berth history rm, berth manifest rm, berth prune, berth rm" {
		t.Error(got)
	}
}

// The flags are read as buildx reads them.
func TestPruneInfo(t *testing.T) {
	docker, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	prune := func(args ...string) *cobra.Command {
		cmd, _, err := rootCommand(name, false, docker).Find([]string{"prune"})
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	o, err := pruneInfo(prune("-a", "--reserved-space", "1k", "--max-used-space", "2k", "--filter", "until=24h").Flags(), docker)
	if err != nil || !o.All || o.ReservedSpace != 1024 || o.MaxUsedSpace != 2048 || o.KeepDuration != 24*time.Hour || !slices.Equal(o.Filter, []string{""}) {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = pruneInfo(prune("--keep-storage", "5").Flags(), docker); err != nil || o.ReservedSpace != 5 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := pruneInfo(prune("--min-free-space", "5").Flags(), docker); err == nil || !strings.Contains(err.Error(), "--min-free-space") {
		t.Error(err)
	}
}

func TestPruneFilter(t *testing.T) {
	filters := func(pairs ...string) dclient.Filters {
		f := dclient.Filters{}
		for _, p := range pairs {
			key, value, _ := strings.Cut(p, "=")
			f.Add(key, value)
		}
		return f
	}
	for want, pairs := range map[string][]string{
		"id~=abc": {"id=abc"}, "type==regular": {"type=regular"}, "type!=regular": {"type!=regular"}, "description~=x": {"description~=x"},
	} {
		if got, _, err := pruneFilter(filters(pairs...)); got != want || err != nil {
			t.Errorf("%q: got %q, %v", pairs, got, err)
		}
	}
	if got, _, err := pruneFilter(dclient.Filters{"shared": nil}); got != "shared" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []dclient.Filters{
		filters("until=1h", "unused-for=2h"), filters("until=soon"), filters("type=a", "type=b"),
	} {
		if got, _, err := pruneFilter(bad); err == nil {
			t.Errorf("%v: got %q", slices.Collect(maps.Keys(bad)), got)
		}
	}
}
