// Package pull fetches images from registries into a store: by the OCI
// distribution protocol, layers in parallel and each unpacked as soon as those
// below it are, everything verified by digest.
//
// A registry is not trusted. Credentials go to the registry they were given for
// and to a token server of the same site, never to a mirror, another origin or
// where a redirect points. Sizes of manifests and configs, depth of indexes and
// number of layers are bounded; addresses that a manifest names are not fetched.
package pull
