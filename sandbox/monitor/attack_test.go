package monitor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// A process of another user that reaches the socket, whose permissions
// somebody has widened, is not listened to (CVE-2020-15257).
func TestAttackPeerCred(t *testing.T) {
	dir, err := os.MkdirTemp("", "m") //nolint:usetesting // t.TempDir is not open to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, SocketName): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() (*Conn, error) { return Dial(dir) }
	var enemy *Conn
	if err := ns.OnThread(func() (err error) {
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 1000, 1000, 1000); e != 0 {
			return e
		}
		enemy, err = dial()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer enemy.Close()
	friend, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer friend.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c, err := accept(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var peer *unix.Ucred
	if err := c.raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || int(peer.Uid) != os.Geteuid() {
		t.Errorf("let in: %+v, %v", peer, err)
	}
}
