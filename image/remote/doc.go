// Package remote talks to registries: by the OCI distribution protocol, through
// mirrors or directly, with a user's credentials.
//
// A registry is not trusted. Credentials go to the registry they were given for
// and to a token server of the same site, never to a mirror, another origin or
// where a redirect points. Settings of an operator (Registries, hosts.toml) say who
// the registry is. See docs/images.md.
package remote
