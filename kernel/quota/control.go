package quota

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From <linux/quota.h> and <linux/dqblk_xfs.h>: the calls of XFS, which the
// kernel answers for ext4, too.
const (
	project = 2 // PRJQUOTA

	getLimits = 'X'<<8 + 3 // Q_XGETQUOTA
	setLimits = 'X'<<8 + 4 // Q_XSETQLIM
	getState  = 'X'<<8 + 5 // Q_XGETQSTAT

	enforced = 1 << 5 // FS_QUOTA_PDQ_ENFD

	version    = 1      // FS_DQUOT_VERSION
	ofProject  = 1 << 1 // FS_PROJ_QUOTA
	hardBlocks = 1 << 3 // FS_DQ_BHARD

	blockSize = 512 // of all counts, whatever the file system's is
)

// limits is struct fs_disk_quota.
type limits struct {
	version, flags    int8
	fields            uint16
	id                uint32
	hard, soft        uint64 // blocks
	inoHard, inoSoft  uint64
	blocks, inodes    uint64 // in use
	timers            [2]int32
	warnings          [2]uint16
	timersHigh        [4]int8
	rtHard, rtSoft    uint64
	rtBlocks          uint64
	rtTimer           int32
	rtWarnings, space uint16
	_                 [8]byte
}

// state is struct fs_quota_stat.
type state struct {
	version int8
	flags   uint16
	_       [3]byte
	_       [2][3]uint64 // where users' and groups' quotas are stored
	_       [4]uint32
	_       [2]uint16
}

// control is quotactl_fd(2) for projects, on the file system of dir.
func control(dir *os.File, cmd int, id uint32, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall6(unix.SYS_QUOTACTL_FD, dir.Fd(), uintptr(cmd<<8|project), uintptr(id), uintptr(arg), 0, 0)
	runtime.KeepAlive(dir)
	if e != 0 {
		return os.NewSyscallError("quotactl", e)
	}
	return nil
}

func setLimit(dir *os.File, id uint32, bytes int64) error {
	l := limits{version: version, flags: ofProject, fields: hardBlocks, id: id, hard: uint64(bytes+blockSize-1) / blockSize}
	return control(dir, setLimits, id, unsafe.Pointer(&l))
}

// get is all zero for a project that the file system has never heard of.
func get(dir *os.File, id uint32) (limits, error) {
	var l limits
	err := control(dir, getLimits, id, unsafe.Pointer(&l))
	if errors.Is(err, unix.ENOENT) {
		return limits{}, nil
	}
	return l, err
}
