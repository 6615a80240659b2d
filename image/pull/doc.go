// Package pull fetches images from registries into a store: layers in parallel
// and each unpacked as soon as those below it are, everything verified by
// digest.
//
// A registry is not trusted. Sizes of manifests and configs, depth of indexes
// and number of layers are bounded; addresses that a manifest names are not
// fetched. For how credentials are guarded see package remote.
package pull
