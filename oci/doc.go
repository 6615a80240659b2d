// Package oci holds what engine and Hub share about images: references, the
// building of small images in memory, and the push half of the distribution
// protocol (OCI distribution-spec 1.1). It knows neither stores nor daemons.
package oci
