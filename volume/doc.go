// Package volume keeps the volumes of this host.
//
// A volume has an ID for life, and a name that may change. One of the driver
// "local" is a directory Root/NAME with its data in _data, its description in
// opts.json (version 2; those of version 1 get their IDs when the store is
// opened) and its snapshots in snapshots/. A volume is made under a hidden name
// and renamed into place, so that what can be seen is complete; hidden
// leftovers are removed by Open. A rename of the volume is one of the
// directory: containers that use it do not notice.
//
// A volume with the options type, device and o shows what is mounted at _data,
// in the host's table, from its first use by a running container until after
// the last.
//
// Who uses a volume is told by its users (Use, Mount and what they return) and
// kept in memory only: the owner of the containers tells it again after a
// restart, and calls Settle then. A volume in use cannot be removed.
package volume
