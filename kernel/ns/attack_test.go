package ns

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The program that runs as root cannot be overwritten by those who get hold of
// it through /proc/PID/exe (CVE-2019-5736), not even while it does not run.
func TestAttackSeals(t *testing.T) {
	f, err := SealedMemfd("x", bytes.NewReader([]byte("program")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("seals %x, %v", seals, err)
	}
	for _, flags := range []int{os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
		again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
		if err != nil {
			continue
		}
		if _, err := again.Write([]byte("enemy")); err == nil {
			t.Errorf("written with flags %x", flags)
		}
		again.Close()
	}
}
