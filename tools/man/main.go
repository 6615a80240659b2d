// Command man writes the manual pages of every program, and the completions
// of berth for each shell, from the very commands and flags that the programs
// parse.
//
//	man DIR    DIR/man1, DIR/man8 and DIR/completions
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/berth-engine/berth/cli"
	"github.com/berth-engine/berth/compose"
	"github.com/berth-engine/berth/config"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	berth := cli.Commands()
	if err := pages(berth, filepath.Join(dir, "man1"), "1", "Berth User Manual"); err != nil {
		return err
	}
	composer, err := compose.Manual()
	if err != nil {
		return err
	}
	if err := pages(composer, filepath.Join(dir, "man1"), "1", "Berth User Manual"); err != nil {
		return err
	}
	if err := pages(daemon(), filepath.Join(dir, "man8"), "8", "Berth Administrator Manual"); err != nil {
		return err
	}
	return completions(berth, filepath.Join(dir, "completions"))
}

// daemon is berthd's command line in the form that pages are made from.
func daemon() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "berthd [OPTIONS]",
		Short: "The Berth container engine",
		Long: "berthd serves the Docker Engine API and owns images, networks, volumes and containers. " +
			"Running containers do not need it: it may be stopped, upgraded or killed while they run.\n\n" +
			"Settings are read from " + config.DefaultFile + " under the names of the long options; see --config-file. " +
			"SIGHUP reloads those that can change in a running daemon.",
		Run:                   func(*cobra.Command, []string) {},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().AddFlagSet(config.Flags())
	return cmd
}

func pages(cmd *cobra.Command, dir, section, manual string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd.DisableAutoGenTag = true
	date := time.Unix(0, 0) // not the day of the build: the same source gives the same pages
	return doc.GenManTree(cmd, &doc.GenManHeader{Section: section, Manual: manual, Source: "Berth", Date: &date}, dir)
}

func completions(cmd *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, gen := range map[string]func(io.Writer) error{
		"berth.bash": func(w io.Writer) error { return cmd.GenBashCompletionV2(w, true) },
		"_berth":     cmd.GenZshCompletion,
		"berth.fish": func(w io.Writer) error { return cmd.GenFishCompletion(w, true) },
	} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		if err := gen(f); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
