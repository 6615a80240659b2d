// Package netdev moves network interfaces into other network namespaces.
//
// It speaks rtnetlink(7) by hand, in the few words that this takes: it is
// linked into berth-sandbox, which cannot afford package net and what package
// kernel/netlink is built on.
package netdev
