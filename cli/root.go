package cli

import (
	"fmt"
	"path/filepath"

	"github.com/berth-engine/berth/cli/settings"
	"github.com/spf13/cobra"
)

func newRoot(s *Session) *cobra.Command {
	root := &cobra.Command{
		Use:                   "berth [OPTIONS] COMMAND [ARG...]",
		Short:                 "A container engine that starts in milliseconds",
		Version:               fmt.Sprintf("%s, build %s", s.Build.Version, s.Build.Commit),
		SilenceUsage:          true,
		SilenceErrors:         true,
		TraverseChildren:      true,
		DisableFlagsInUseLine: true,
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:                  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(s.IO.Err)
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetVersionTemplate("Berth version {{.Version}}\n")
	globals(root, s)
	setHelp(root)
	root.AddCommand(
		newRun(s), newCreate(s), newStart(s), newAttach(s), newWait(s), newLogs(s), newPs(s, false),
		newStop(s), newKill(s), newRestart(s), newRename(s), newRm(s), newTop(s), newPort(s),
		newPull(s), newImages(s, false), newRmi(s, false), newTag(s), newHistory(s),
		newInspect(s), newEvents(s), newInfo(s), newVersion(s), newLogin(s), newLogout(s),
		newContainer(s), newImage(s), newCompletion(),
	)
	finish(root)
	return root
}

// globals adds the flags before the verb.
func globals(root *cobra.Command, s *Session) {
	f, g := root.Flags(), &s.flags
	dir := settings.Dir("")
	f.StringVar(&g.configDir, "config", "", fmt.Sprintf("Location of client config files (default %q)", dir))
	f.BoolVarP(&g.debug, "debug", "D", false, "Enable debug mode")
	f.StringArrayVarP(&g.hosts, "host", "H", nil, "Daemon socket to connect to")
	f.BoolVar(&g.startDaemon, "start-daemon", false, "Start the daemon first if it is not running (as root)")
	f.BoolVar(&g.tls, "tls", false, "Use TLS; implied by --tlsverify")
	f.StringVar(&g.caFile, "tlscacert", "", fmt.Sprintf("Trust certs signed only by this CA (default %q)", filepath.Join(dir, "ca.pem")))
	f.StringVar(&g.certFile, "tlscert", "", fmt.Sprintf("Path to TLS certificate file (default %q)", filepath.Join(dir, "cert.pem")))
	f.StringVar(&g.keyFile, "tlskey", "", fmt.Sprintf("Path to TLS key file (default %q)", filepath.Join(dir, "key.pem")))
	f.BoolVar(&g.tlsVerify, "tlsverify", false, "Use TLS and verify the remote")
	f.BoolP("version", "v", false, "Print version information and quit")
	p := root.PersistentFlags()
	p.BoolP("help", "h", false, "Print usage")
	_ = p.MarkHidden("help")
}

// finish is applied to the complete tree: no "[flags]" in usage lines, and no
// file names where a completion function would have named objects.
func finish(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		finish(c)
	}
}

// group is a command that only holds others, such as "berth container".
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(cmd.ErrOrStderr())
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

func newContainer(s *Session) *cobra.Command {
	return group("container", "Manage containers",
		newAttach(s), newCreate(s), newContainerInspect(s), newKill(s), newLogs(s), newPs(s, true), newPort(s),
		newPrune(s), newRename(s), newRestart(s), newRm(s), newRun(s), newStart(s), newStop(s), newTop(s), newWait(s))
}

func newImage(s *Session) *cobra.Command {
	return group("image", "Manage images",
		newHistory(s), newImageInspect(s), newImages(s, true), newPull(s), newRmi(s, true), newTag(s))
}
