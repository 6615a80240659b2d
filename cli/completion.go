package cli

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	mobysignal "github.com/moby/sys/signal"
	"github.com/spf13/cobra"
)

// completion is how cobra asks for words.
type completion = cobra.CompletionFunc

func newCompletion(*Session) *cobra.Command {
	shell := func(name, how string, gen func(root *cobra.Command, cmd *cobra.Command) error) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: "Generate the autocompletion script for " + name, Args: noArgs,
			Long: "Generate the autocompletion script for " + name + ".\n\n" + how,
			RunE: func(cmd *cobra.Command, _ []string) error { return gen(cmd.Root(), cmd) },
		}
	}
	return group("completion", "Generate the autocompletion script for the specified shell",
		shell("bash", "Load it once:   source <(berth completion bash)\nFor every shell: berth completion bash > /etc/bash_completion.d/berth",
			func(root, cmd *cobra.Command) error { return root.GenBashCompletionV2(cmd.OutOrStdout(), true) }),
		shell("zsh", "For every shell: berth completion zsh > \"${fpath[1]}/_berth\"",
			func(root, cmd *cobra.Command) error { return root.GenZshCompletion(cmd.OutOrStdout()) }),
		shell("fish", "For every shell: berth completion fish > ~/.config/fish/completions/berth.fish",
			func(root, cmd *cobra.Command) error { return root.GenFishCompletion(cmd.OutOrStdout(), true) }))
}

// completeContainers offers names (of running containers, or of all) that
// want accepts, for the first max arguments; -1: for any number. A daemon
// that does not answer offers nothing.
func (s *Session) completeContainers(limit int, all bool, want func(container.Summary) bool) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(s.containerNames(cmd, all, want), args), cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *Session) containerNames(cmd *cobra.Command, all bool, want func(container.Summary) bool) []string {
	api, err := s.client(cmd.Context())
	if err != nil {
		return nil
	}
	list, err := api.ContainerList(cmd.Context(), client.ContainerListOptions{All: all})
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range list.Items {
		if want != nil && !want(c) {
			continue
		}
		for _, n := range c.Names {
			if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
				names = append(names, n)
			}
		}
	}
	return names
}

// completeImages offers tagged names.
func (s *Session) completeImages(limit int) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(args) >= limit {
			// After an image, run takes a command: whatever the shell knows.
			if limit == 1 && (cmd.Name() == "run" || cmd.Name() == "create") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(s.imageNames(cmd), args), cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *Session) imageNames(cmd *cobra.Command) []string {
	api, err := s.client(cmd.Context())
	if err != nil {
		return nil
	}
	list, err := api.ImageList(cmd.Context(), client.ImageListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range list.Items {
		names = append(names, i.RepoTags...)
	}
	return names
}

// completeObjects offers everything that inspect shows.
func (s *Session) completeObjects(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := append(s.containerNames(cmd, true, nil), s.imageNames(cmd)...)
	return without(names, args), cobra.ShellCompDirectiveNoFileComp
}

func without(names, used []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(used, n) })
}

func completeWords(words ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		d := cobra.ShellCompDirectiveNoFileComp
		if slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "=") }) {
			d |= cobra.ShellCompDirectiveNoSpace
		}
		return words, d
	}
}

func completePlatforms(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64"},
		cobra.ShellCompDirectiveNoFileComp
}

func completeSignals(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for name := range mobysignal.SignalMap {
		names = append(names, "SIG"+name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeContainerFlags tells what the flags of run and create take.
func completeContainerFlags(cmd *cobra.Command, s *Session) {
	for name, words := range map[string][]string{
		"attach":   {"stderr", "stdin", "stdout"},
		"cgroupns": {"host", "private"},
		"ipc":      {"container:", "host", "none", "private", "shareable"},
		"network":  {"bridge", "container:", "host", "none"},
		"pid":      {"container:", "host"},
		"pull":     {"always", "missing", "never"},
		"restart":  {"always", "no", "on-failure", "unless-stopped"},
		"userns":   {"host"},
		"uts":      {"host"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, completeWords(words...))
	}
	_ = cmd.RegisterFlagCompletionFunc("stop-signal", completeSignals)
	_ = cmd.RegisterFlagCompletionFunc("volumes-from", s.completeContainers(-1, true, nil))
	_ = cmd.RegisterFlagCompletionFunc("link", s.completeContainers(-1, false, nil))
}
