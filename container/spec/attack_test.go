package spec

import (
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// A line of /etc/passwd or /etc/group whose number is none must not make its
// user root, as atoi would.
func TestAttackSoundLine(t *testing.T) {
	root := rootfs(t, "evil:x:nonsense:nonsense::/:\nnone:x:::::\nneg:x:-1:-1::/:\nwide:x:2147483648:0::/:\n", "root:x:0:\nbad:x:zero:user\n")
	for _, who := range []string{"evil", "none", "neg", "wide", "1:bad"} {
		if u, err := ResolveUser(root, who, nil); err == nil {
			t.Errorf("%s is %+v", who, u)
		}
	}
}

// A process that gives up its primary group must not thereby pass a mode like
// 0705 (CVE-2022-36109).
func TestAttackPrimaryGroup(t *testing.T) {
	root := rootfs(t, "user:x:1000:1000::/:\n", "")
	for _, who := range []string{"user", "1000:1000", "0:1000"} {
		if u, err := ResolveUser(root, who, nil); err != nil || !slices.Contains(u.Additional, 1000) {
			t.Errorf("%s: groups %v, %v", who, u.Additional, err)
		}
	}
}

// All devices are forbidden but those that are named.
func TestAttackDeviceRules(t *testing.T) {
	rules := deviceRules(&Input{Host: &container.HostConfig{}})
	if first := rules[0]; first.Allow || first.Type != "" || first.Major != nil || first.Access != "rwm" {
		t.Errorf("the first rule is %+v", first)
	}
	for _, r := range rules[1:] {
		if r.Access != "m" && (r.Type != "c" || r.Major == nil || *r.Major != 1 && *r.Major != 5 && *r.Major != 136) {
			t.Errorf("%+v", r)
		}
	}
}
