package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

// rootfs makes a root directory with the two files.
func rootfs(t *testing.T, passwd, group string) *os.File {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const (
	passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n" +
		"evil:x:notanumber:0::/:/bin/sh\nbig:x:4294967296:5::/:\nwide:x:2147483648:5::/:\nneg:x:-1:5::/:\n"
	group = "root:x:0:\nuser:x:1000:\nextra:x:2000:user,other\nbad:x:zero:user\nhuge:x:99999999999:user\n"
)

func TestResolveUser(t *testing.T) {
	root := rootfs(t, passwd, group)
	for _, c := range []struct {
		who  string
		add  []string
		want User
	}{
		{"", nil, User{Additional: []uint32{0}, Home: "/root"}},
		{"user", nil, User{UID: 1000, GID: 1000, Additional: []uint32{1000, 2000}, Home: "/home/user"}},
		{"1000", nil, User{UID: 1000, GID: 1000, Additional: []uint32{1000, 2000}, Home: "/home/user"}},
		{"user:extra", nil, User{UID: 1000, GID: 2000, Additional: []uint32{2000}, Home: "/home/user"}},
		{"77:88", []string{"extra", "99"}, User{UID: 77, GID: 88, Additional: []uint32{88, 2000, 99}, Home: ""}},
		{"2147483647", nil, User{UID: 2147483647, Additional: []uint32{0}}},
	} {
		got, err := ResolveUser(root, c.who, c.add)
		if err != nil || got.UID != c.want.UID || got.GID != c.want.GID || got.Home != c.want.Home {
			t.Errorf("%q: %+v, %v", c.who, got, err)
			continue
		}
		slices.Sort(got.Additional)
		slices.Sort(c.want.Additional)
		if !slices.Equal(got.Additional, c.want.Additional) {
			t.Errorf("%q: groups %v, want %v", c.who, got.Additional, c.want.Additional)
		}
	}
	for who, text := range map[string]string{
		"nobody":                   "unable to find user nobody: no matching entries in passwd file",
		"user:nobody":              "unable to find group nobody: no matching entries in group file",
		"evil":                     "no matching entries",
		"big":                      "no matching entries",
		"wide":                     "no matching entries",
		"neg":                      "no matching entries",
		"2147483648":               "range",
		"4294967296":               "range",
		"99999999999999999999":     "range",
		"-1":                       "range",
		"0:-1":                     "range",
		"+0":                       "range",
		"0x0":                      "no matching entries",
		"a\nb":                     "more than one line",
		strings.Repeat("x", 1<<20): "longer than",
	} {
		if got, err := ResolveUser(root, who, nil); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%.20q: %+v, %v", who, got, err)
		}
	}
}

// TestResolveUserHostile: whatever an image puts in the place of the file, the
// answer is an error, soon, and never root.
func TestResolveUserHostile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"fifo":      func(p string) error { return syscall.Mkfifo(p, 0o644) },
		"dev/zero":  func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o644, 1<<8|5) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"huge": func(p string) error {
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(p, 1<<30)
		},
		"proc": func(p string) error { return os.Symlink("/proc/self/mem", p) },
		"loop": func(p string) error { return os.Symlink("passwd", p) },
	} {
		root := rootfs(t, "", "")
		path := filepath.Join(root.Name(), "etc", "passwd")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if got, err := ResolveUser(root, "user", nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// A link to the host's file is a link inside the image.
	root := rootfs(t, "", "")
	path := filepath.Join(root.Name(), "etc", "passwd")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../../../../etc/shadow-of-the-host", path); err != nil {
		t.Fatal(err)
	}
	if _, err := ResolveUser(root, "user", nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("link: %v", err)
	}
}

func FuzzResolveUser(f *testing.F) {
	f.Add("user", passwd, group)
	f.Add("0:0", "a:b:c", ":::::")
	f.Add("", "", "x:x:1:\n#")
	f.Fuzz(func(t *testing.T, who, passwd, group string) {
		got, err := ResolveUser(rootfs(t, passwd, group), who, nil)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(who, ":")
		if got.UID >= 1<<31 || got.GID >= 1<<31 || strings.ContainsAny(got.Home, "\n\x00") {
			t.Errorf("%+v", got)
		}
		if got.UID == 0 && name != "" && strings.Trim(name, "0") != "" && !strings.Contains(passwd, ":0") {
			t.Errorf("%q became root", who)
		}
	})
}
