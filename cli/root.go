package cli

import (
	"fmt"
	"path/filepath"

	"github.com/berth-engine/berth/cli/settings"
	"github.com/berth-engine/berth/cli/stream"
	"github.com/spf13/cobra"
)

// newRoot makes the tree of commands. When args begin with a verb only that
// verb is made: all flags of all verbs would cost a good part of the start.
func newRoot(s *Session, args []string) *cobra.Command {
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
	all := verbs()
	if len(args) > 0 && all[args[0]] != nil {
		root.AddCommand(all[args[0]](s))
	} else {
		for _, verb := range all {
			root.AddCommand(verb(s))
		}
	}
	finish(root)
	return root
}

// verbs are the commands by the name they are called.
func verbs() map[string]func(*Session) *cobra.Command {
	return map[string]func(*Session) *cobra.Command{
		"run": newRun, "exec": newExec, "create": newCreate, "start": newStart, "attach": newAttach, "wait": newWait,
		"logs": newLogs, "ps": newPs, "stop": newStop, "kill": newKill, "restart": newRestart,
		"cp": newCp, "export": newExport, "diff": newDiff, "commit": newCommit,
		"rename": newRename, "rm": newRm, "top": newTop, "port": newPort,
		"pause": newPause, "unpause": newUnpause, "update": newUpdate, "stats": newStats,
		"pull": newPull, "push": newPush, "save": newSave, "load": newLoad, "import": newImport,
		"build": newBuild, "buildx": newBuildx, "bake": newBake, "builder": newBuilder, "manifest": newManifest, "compose": newCompose, "debug": newDebug, "hub": newHub, "search": newSearch, "images": newImages, "rmi": newRmi, "tag": newTag, "history": newHistory,
		"inspect": newInspect, "events": newEvents, "info": newInfo, "version": newVersion,
		"login": newLogin, "logout": newLogout,
		"container": newContainer, "context": newContext, "image": newImage, "network": newNetwork, "migrate": newMigrate, "plugin": newPlugin, "system": newSystem, "volume": newVolume, "completion": newCompletion,
	}
}

// globals adds the flags before the verb.
func globals(root *cobra.Command, s *Session) {
	f, g := root.Flags(), &s.flags
	dir := settings.Dir("")
	f.StringVar(&g.configDir, "config", "", fmt.Sprintf("Location of client config files (default %q)", dir))
	f.StringVarP(&g.context, "context", "c", "", "Name of the context to use to connect to the daemon (overrides BERTH_HOST and DOCKER_HOST)")
	f.BoolVarP(&g.debug, "debug", "D", false, "Enable debug mode")
	f.VarP(&g.hosts, "host", "H", "Daemon socket to connect to")
	g.logLevel = "info"
	f.VarP(&g.logLevel, "log-level", "l", `Set the logging level ("debug", "info", "warn", "error", "fatal")`)
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
		newAttach(s), newCommit(s), newCp(s), newCreate(s), newDiff(s), newExec(s), newExport(s), newContainerInspect(s), newKill(s), newLogs(s),
		newContainerLs(s), newDrain(s), newPause(s), newPort(s), newPrune(s), newRename(s), newRestart(s), newRm(s), newRun(s), newStart(s),
		newStats(s), newStop(s), newTop(s), newUndrain(s), newUnpause(s), newUpdate(s), newWait(s))
}

func newImage(s *Session) *cobra.Command {
	return group("image", "Manage images",
		newImageGC(s), newHistory(s), newImport(s), newImageInspect(s), newImageLs(s), newImagePin(s), newImagePrune(s), newLoad(s), newPull(s), newPush(s),
		newImageRm(s), newSave(s), newTag(s), newImageUnpin(s))
}

// Commands is the whole tree of commands, for manual pages and completions. It
// connects to nothing until one of them runs.
func Commands() *cobra.Command { return newRoot(&Session{IO: stream.Std()}, nil) }
