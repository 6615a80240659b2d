package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	env, err = s.helperEnv(name, os.Environ())
	return program, env, err
}

// helperEnv tells a program which engine is meant, in the variables that the
// docker command has for that: what has a context is named by it, so that its
// certificates stay where they are.
func (s *Session) helperEnv(program string, env []string) ([]string, error) {
	at, err := s.daemonAddress()
	if err != nil {
		return nil, err
	}
	_, chosen, err := chooseHost(s.flags, os.Getenv, func() string { return s.settings().CurrentContext })
	if err != nil {
		return nil, err
	}
	set := func(name, value string) { env = append(withoutVar(env, name), name+"="+value) }
	if s.flags.configDir != "" {
		set("DOCKER_CONFIG", s.flags.configDir)
	}
	// Set in what a plugin of the docker command runs: the helper is none.
	for _, name := range []string{"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "DOCKER_CONTEXT", "DOCKER_HOST"} {
		env = withoutVar(env, name)
	}
	if chosen != "" && at.tls != nil {
		set("DOCKER_CONTEXT", chosen)
		for _, name := range []string{"DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} {
			env = withoutVar(env, name)
		}
		return env, nil
	}
	set("DOCKER_HOST", at.host)
	if at.tls == nil {
		return env, nil
	}
	dir, err := s.flags.certificates()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	if dir != "" {
		set("DOCKER_CERT_PATH", dir)
	}
	if s.flags.tlsVerify {
		set("DOCKER_TLS_VERIFY", "1")
	} else if s.flags.tls {
		set("DOCKER_TLS", "1")
	}
	return env, nil
}

// certificates is the folder that --tlscacert, --tlscert and --tlskey are in, ""
// without them. Other programs know a folder alone, with ca.pem, cert.pem and
// key.pem in it.
func (f globalFlags) certificates() (dir string, err error) {
	for name, path := range map[string]string{"ca.pem": f.caFile, "cert.pem": f.certFile, "key.pem": f.keyFile} {
		if path == "" {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		if filepath.Base(path) != name || dir != "" && dir != filepath.Dir(path) {
			return "", errors.New("certificates that are not ca.pem, cert.pem and key.pem of one folder are passed on by a context alone: `berth context create NAME --docker host=…,ca=…,cert=…,key=…`, then `berth --context NAME`")
		}
		dir = filepath.Dir(path)
	}
	return dir, nil
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
