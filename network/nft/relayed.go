package nft

import (
	"errors"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// relayed matches what reaches a socket of berth-netd, which are transparent
// (IP_TRANSPARENT).
func relayed() part {
	return part{"socket transparent 1", []expr.Any{
		&expr.Socket{Key: expr.SocketKeyTransparent, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{1}},
	}}
}

// unknown tells whether the kernel refused a transaction for an expression that it
// does not have (CONFIG_NFT_SOCKET).
func unknown(err error) bool { return errors.Is(err, unix.ENOENT) }

// KnowsRelayed tells whether the kernel can keep internal networks from ports that
// berth-netd passes on; as of Replace.
func (t *Table) KnowsRelayed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.unrelayed
}
