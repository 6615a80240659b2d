// Package apparmor keeps the AppArmor profile loaded that confines containers
// which ask for none: docker-default, the profile of Docker, from moby/profiles,
// under Docker's name, so that what refers to it finds it.
//
// A host can confine with it where the kernel has AppArmor enabled and
// apparmor_parser is installed, which compiles profiles. Where the kernel has it
// and the parser is missing, containers run without a profile unless they ask for
// one, as under Docker; the daemon warns of that.
package apparmor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"github.com/moby/profiles/apparmor"
)

// Name of the default profile.
const Name = "docker-default"

// Where the kernel says whether it has AppArmor, and the list of profiles.
const (
	enabledFile = "/sys/module/apparmor/parameters/enabled"
	listFile    = "/sys/kernel/security/apparmor/profiles"
)

// A Profile is the default profile of a host.
type Profile struct{ mu sync.Mutex }

// ErrNoParser says that the kernel has AppArmor and nothing can load a profile.
var ErrNoParser = errors.New("apparmor_parser is not installed: containers run without an AppArmor profile (package apparmor)")

// Default is the host's default profile, which Ensure loads. It is nil without an
// error where the kernel has no AppArmor, or this process is in a container that
// does not see it; the error is ErrNoParser.
func Default() (*Profile, error) {
	enabled, err := os.ReadFile(enabledFile)
	if err != nil || !bytes.HasPrefix(enabled, []byte("Y")) {
		return nil, nil //nolint:nilerr // no such file: no AppArmor
	}
	if _, err := os.Stat(listFile); err != nil {
		return nil, nil //nolint:nilerr // securityfs is not here: a container, in which profiles cannot be loaded
	}
	if _, err := exec.LookPath("apparmor_parser"); err != nil {
		return nil, ErrNoParser
	}
	return new(Profile), nil
}

// Ensure loads the profile if it is not loaded (any more): an update of the
// host's packages may unload what is in none of its files.
func (p *Profile) Ensure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	loaded, err := apparmor.IsLoaded(Name)
	if err == nil && !loaded {
		err = apparmor.InstallDefault(Name)
	}
	if err != nil {
		return fmt.Errorf("AppArmor profile %s: %w", Name, err)
	}
	return nil
}
