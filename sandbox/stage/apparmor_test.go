package stage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hasAppArmor tells whether this kernel enforces AppArmor profiles.
func hasAppArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.TrimSpace(string(b)) == "Y"
}

func TestAppArmor(t *testing.T) {
	spec := defaultSpec("/probe", "read", "/etc/passwd", "/proc/self/attr/apparmor/current")
	spec.Process.ApparmorProfile = "unconfined"
	out, code := newBox(t, spec).run()
	if code != 0 || !strings.Contains(out, "root:x:0") || hasAppArmor() && !strings.Contains(out, `"unconfined\n"`) {
		t.Errorf("unconfined: %d\n%s", code, out)
	}
	spec.Process.ApparmorProfile = "berth-no-such-profile"
	want := `apparmor profile "berth-no-such-profile": this host has no AppArmor`
	if hasAppArmor() {
		want = `apparmor profile "berth-no-such-profile": it is not loaded; apparmor_parser -r loads one`
	}
	if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a profile that is not loaded: %v", err)
	}
	if !hasAppArmor() {
		t.Log("no AppArmor here; make test-vm tries a profile")
		return
	}
	const name = "berth-stage-test"
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, []byte("profile "+name+" flags=(attach_disconnected,mediate_deleted) {\n file,\n capability,\n signal,\n deny /etc/passwd r,\n}\n"), 0o600))
	parser := func(flag string) {
		if text, err := exec.CommandContext(t.Context(), "apparmor_parser", flag, "-K", file).CombinedOutput(); err != nil {
			t.Errorf("apparmor_parser %s: %v\n%s", flag, err, text)
		}
	}
	parser("-r")
	defer parser("-R")
	for _, reaper := range []bool{false, true} {
		spec.Process.ApparmorProfile = name
		b := newBox(t, spec)
		b.config.Reaper = reaper
		out, _ := b.run()
		if strings.Contains(out, "root:x:0") || !strings.Contains(out, `"berth-stage-test (enforce)\n"`) {
			t.Errorf("reaper=%v, profile %s:\n%s", reaper, name, out)
		}
	}
	spec.Process.Args, spec.Process.ApparmorProfile = []string{"/probe", "pause"}, name
	b := running(t, spec)
	p := process("/probe", "read", "/etc/passwd", "/proc/self/attr/apparmor/current")
	p.ApparmorProfile = name
	for _, isDirect := range []bool{false, true} {
		if out, _, err := b.enterBy(isDirect, p, nil); err != nil || strings.Contains(out, "root:x:0") || !strings.Contains(out, `"berth-stage-test (enforce)\n"`) {
			t.Errorf("a further process, direct %v: %v\n%s", isDirect, err, out)
		}
	}
}
