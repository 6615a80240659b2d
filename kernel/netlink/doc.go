// Package netlink is what containers' networks need of rtnetlink, conntrack and
// the network sysctls: bridges, veth pairs whose other end is born in another
// namespace, addresses, routes; and it tells what changes in them, in nftables,
// and what the legacy iptables drop.
//
// A Conn belongs to the network namespace in which it was opened, whatever
// thread uses it later. Sysctls belong to the namespace of the calling thread.
// Things that are missing are errdefs.NotFound.
package netlink
