package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Flags of linux/netfilter/nf_tables.h. An owned table can be changed by the
// socket that made it alone: `nft flush ruleset`, and firewalls that are
// reloaded, pass it over. A persistent one stays when the socket is gone; then
// it is nobody's, until another socket takes it over.
const (
	tableOwner   = 1 << 1 // NFT_TABLE_F_OWNER, Linux 5.12
	tablePersist = 1 << 2 // NFT_TABLE_F_PERSIST, Linux 6.9
)

// own makes the table, or takes it over, for our socket alone. It tells whether
// it could: not on a kernel before 6.9, nor if the table is there and shared.
func (t *ruleset) own() (bool, error) {
	if t.owned {
		return true, nil
	}
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(t.table.Name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, tableOwner|tablePersist)},
	})
	if err != nil {
		return false, err
	}
	const subsystem = unix.NFNL_SUBSYS_NFTABLES
	message := func(kind, flags netlink.HeaderFlags, body []byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | flags}, Data: body}
	}
	messages := []netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, subsystem}),
		message(subsystem<<8|unix.NFT_MSG_NEWTABLE, netlink.Acknowledge|netlink.Create, append([]byte{byte(t.table.Family), unix.NFNETLINK_V0, 0, 0}, attrs...)),
		message(unix.NFNL_MSG_BATCH_END, 0, []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, subsystem}),
	}
	if _, err = t.socket.SendMessages(messages); err == nil {
		_, err = t.socket.Receive()
	}
	switch {
	case err == nil:
		t.owned = true
		return true, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM), errors.Is(err, unix.EEXIST):
		return false, nil
	}
	return false, fmt.Errorf("nftables: own table %s: %w", t.table.Name, err)
}

// Owned tells whether nobody else can change the table while we have it.
func (t *ruleset) Owned() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owned
}
