package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall" //nolint:depguard // Exec replaces this process; no wrapper is worth an import of kernel.

	"github.com/spf13/cobra"
)

// become replaces this process by another program of Berth's, which is told
// which engine to talk to as the docker command would be.
func (s *Session) become(name string, args []string) error {
	program, env, err := s.helper(name)
	if err != nil {
		return err
	}
	return syscall.Exec(program, append([]string{name}, args...), env)
}

// helper is where a program of Berth's is, and the environment for it.
func (s *Session) helper(name string) (program string, env []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	if program, err = findProgram(self, name); err != nil {
		return "", nil, err
	}
	at, err := s.daemonAddress()
	if err != nil {
		return "", nil, err
	}
	if at.tls != nil {
		return "", nil, fmt.Errorf("%s over TLS needs DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH set, not flags: it reads those", name)
	}
	env = os.Environ()
	set := func(name, value string) { env = append(withoutVar(env, name), name+"="+value) }
	set("DOCKER_HOST", at.host)
	if s.flags.configDir != "" {
		set("DOCKER_CONFIG", s.flags.configDir)
	}
	env = withoutVar(env, "DOCKER_CONTEXT")
	// Set in what a plugin of the docker command runs: the helper is none.
	return program, withoutVar(env, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"), nil
}

func withoutVar(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") })
}

// completeHelper asks the program itself what may stand next: below the verb,
// after args. A program that is missing or fails offers nothing.
func (s *Session) completeHelper(ctx context.Context, name string, args []string, word string) ([]string, cobra.ShellCompDirective) {
	program, env, err := s.helper(name)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	cmd := exec.CommandContext(ctx, program, append(append([]string{cobra.ShellCompRequestCmd}, args...), word)...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return parseCompletion(out)
}

// parseCompletion reads cobra's own answer: a word a line, then ":" and the
// directive.
func parseCompletion(out []byte) ([]string, cobra.ShellCompDirective) {
	body, last, ok := bytes.Cut(out, []byte("\n:"))
	if !ok {
		body, last, ok = nil, bytes.TrimPrefix(out, []byte(":")), bytes.HasPrefix(out, []byte(":"))
	}
	directive, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if !ok || err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if len(body) == 0 {
		return nil, cobra.ShellCompDirective(directive)
	}
	return strings.Split(string(body), "\n"), cobra.ShellCompDirective(directive)
}
