// Package volume keeps the volumes of this host.
//
// A volume of the driver "local" is a directory Root/NAME with its data in
// _data and its description in opts.json. The directory is made under a
// hidden name and renamed into place, so that a name that can be seen is
// complete; hidden leftovers are removed by Open.
//
// Who uses a volume is told by its users (Use and the function it returns) and kept in memory only: the
// owner of the containers tells it again after a restart. A volume in use
// cannot be removed.
package volume
