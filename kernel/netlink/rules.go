package netlink

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// groupRules is NFNLGRP_NFTABLES: what changes in nftables.
const groupRules = 7

// WatchRules calls removed whenever something of the nftables table was
// removed, and when it cannot be known, until ctx ends. What removed sees is no
// older than all that it was called for. It watches the calling thread's namespace.
func WatchRules(ctx context.Context, table string, removed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return os.NewSyscallError("nftables socket", err)
	}
	f := os.NewFile(uintptr(fd), "nftables events")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (groupRules - 1)}); err != nil {
		return os.NewSyscallError("subscribe to nftables", err)
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var is, lost bool
		var failed error
		err := raw.Read(func(fd uintptr) (some bool) {
			some, lost, failed = drain(int(fd), buf, func(data []byte) { is = is || removes(data, table) })
			return some || failed != nil
		})
		switch err = errors.Join(err, failed); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("nftables events: %w", err)
		case is, lost:
			removed()
		}
	}
}

// removes tells whether one of the messages says that the table, or a chain or
// rule of it, was removed. In all of them attribute 1 is the table's name.
func removes(data []byte, table string) bool {
	const generic, attr = 4, unix.SizeofNlAttr
	for m := range messages(data) {
		switch m.kind {
		case unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE,
			unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELCHAIN,
			unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELRULE:
		default:
			continue
		}
		if len(m.body) < generic+attr {
			continue
		}
		body := m.body[generic:]
		size := int(binary.NativeEndian.Uint16(body))
		if size < attr || size > len(body) || binary.NativeEndian.Uint16(body[2:]) != 1 {
			continue
		}
		if string(bytes.TrimRight(body[attr:size], "\x00")) == table {
			return true
		}
	}
	return false
}
